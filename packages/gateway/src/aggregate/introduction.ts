import type { RequestContext } from '@sallyport/core'
import { legacyFacts, modernFacts, type ServerFacts } from '../upstream/era.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { isRecord } from '../wire/client-message.ts'
import { LEGACY_VERSIONS, META_SERVER_INFO, MODERN_VERSIONS, negotiate } from '../wire/protocol.ts'
import { eraWithin } from './candidates.ts'
import type { Toolset } from './toolset.ts'

export interface Introduction {
  readonly serverInfo: { readonly name: string; readonly version: string }
  /** Introduce this toolset, which offers parts of what its servers do. */
  readonly toolset?: Toolset | undefined
}

/**
 * Waits until every server has been asked what it speaks, but not longer than a slow one may hold up the others, and not
 * again for one that has already failed to say.
 */
export async function settled(
  upstreams: readonly Upstream[],
  context: RequestContext,
  waitMs: number,
): Promise<void> {
  await Promise.all(
    upstreams.map(async (upstream) => {
      if (upstream.knownEra !== undefined) return
      const failed = upstream.hasFailed(context)
      const answer = eraWithin(upstream, context, waitMs)
      if (!failed) await answer
    }),
  )
}

/** Result of `initialize` on the aggregated endpoint. */
export function initializeResult(upstreams: readonly Upstream[], wanted: unknown, own: Introduction): string {
  const facts = upstreams.map((upstream) => factsIn(upstream, 'legacy'))
  const instructions =
    own.toolset === undefined ? joinInstructions(upstreams, facts) : (own.toolset.instructions ?? '')
  return JSON.stringify({
    protocolVersion: negotiate(wanted),
    capabilities: joinCapabilities(facts, own.toolset),
    serverInfo: own.serverInfo,
    ...(instructions !== '' && { instructions }),
  })
}

/** Result of `server/discover` on the aggregated endpoint. */
export function discoverResult(upstreams: readonly Upstream[], own: Introduction): string {
  const facts = upstreams.map((upstream) => factsIn(upstream, 'modern'))
  const instructions =
    own.toolset === undefined ? joinInstructions(upstreams, facts) : (own.toolset.instructions ?? '')
  return JSON.stringify({
    resultType: 'complete',
    supportedVersions: [...MODERN_VERSIONS, ...LEGACY_VERSIONS],
    capabilities: joinCapabilities(facts, own.toolset),
    ...(instructions !== '' && { instructions }),
    ttlMs: 0,
    cacheScope: 'private',
    _meta: { [META_SERVER_INFO]: own.serverInfo },
  })
}

function factsIn(upstream: Upstream, era: 'legacy' | 'modern'): ServerFacts | undefined {
  const verdict = upstream.knownEra
  if (verdict === undefined) return undefined
  return era === 'modern' ? modernFacts(verdict) : legacyFacts(verdict)
}

/** A server that has not been asked yet may turn out to have anything. */
function joinCapabilities(
  facts: readonly (ServerFacts | undefined)[],
  toolset: Toolset | undefined,
): Readonly<Record<string, unknown>> {
  const missing = new Set(toolset === undefined ? [] : notIn(toolset))
  const has = (name: string) =>
    !missing.has(name) && facts.some((it) => it === undefined || name in it.capabilities)
  const subscribe = facts.some((it) => {
    const resources = it?.capabilities['resources']
    return it === undefined || (isRecord(resources) && resources['subscribe'] === true)
  })
  return {
    ...(has('tools') && { tools: { listChanged: true } }),
    ...(has('prompts') && { prompts: { listChanged: true } }),
    ...(has('resources') && { resources: { listChanged: true, ...(subscribe && { subscribe: true }) } }),
    ...(has('completions') && { completions: {} }),
    ...(has('logging') && { logging: {} }),
    ...joinExtensions(facts),
  }
}

/** Capabilities that a toolset has no use for. */
function notIn({ tools, prompts, offersResources }: Toolset): readonly string[] {
  return [
    ...(tools.size === 0 ? ['tools'] : []),
    ...(prompts.size === 0 ? ['prompts'] : []),
    ...(offersResources ? [] : ['resources']),
    ...(prompts.size === 0 && !offersResources ? ['completions'] : []),
  ]
}

/** Extensions whose messages go through unchanged. Tasks are addressed by an id that names no server, so they are left out. */
function joinExtensions(facts: readonly (ServerFacts | undefined)[]): Readonly<Record<string, unknown>> {
  const all = facts.flatMap((it) => {
    const extensions = it?.capabilities['extensions']
    return isRecord(extensions) ? Object.entries(extensions) : []
  })
  const kept = all.filter(([name]) => name !== 'io.modelcontextprotocol/tasks')
  return kept.length === 0 ? {} : { extensions: Object.fromEntries(kept) }
}

function joinInstructions(
  upstreams: readonly Upstream[],
  facts: readonly (ServerFacts | undefined)[],
): string {
  return upstreams
    .flatMap(({ name }, index) => {
      const text = facts[index]?.instructions
      return text === undefined ? [] : [`# ${name}\n\n${text}`]
    })
    .join('\n\n')
}

import {
  type JsonObject,
  principalKey,
  type RequestContext,
  SallyportError,
  UpstreamError,
} from '@sallyport/core'
import type { Carrier } from '../call/call.ts'
import { askWithin, type InternalAnswer } from '../call/internal-call.ts'
import type { LegacySession } from '../legacy/legacy-session.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { UpstreamTable } from '../upstream/upstream-table.ts'
import { legacyFacts } from '../upstream/era.ts'
import { isRecord } from '../wire/client-message.ts'
import type { Asker } from './catalog.ts'
import type { ListKind } from './list-kind.ts'

export interface AskerOptions {
  readonly upstreams: UpstreamTable
  readonly listMs: number
  /** Servers get credentials of the caller, so what they list may be the caller's own. */
  readonly perPrincipal: boolean
}

/** Lists that announce their changes are kept for long, others so that a burst of requests is answered once. */
const KEEP_ANNOUNCED_MS = 60_000
const KEEP_SILENT_MS = 5_000

export function legacyAsker(session: LegacySession, context: RequestContext, options: AskerOptions): Asker {
  const { upstreams, listMs, perPrincipal } = options
  return {
    context,
    scope: JSON.stringify([
      'legacy',
      session.protocolVersion,
      session.initializeParams['capabilities'] ?? null,
      perPrincipal ? session.owner : '',
    ]),
    ask(server, method, params) {
      const upstream = upstreams.get(server)
      if (upstream === undefined) return Promise.resolve(gone(server))
      const peer = session.peer(upstream)
      // whoever keeps a list must hear of its change
      peer.listen()
      return askUnlessFailing(upstream, listMs, peer, context, method, params)
    },
    keepMs: (server, list) => keepMs(upstreams.get(server), list),
  }
}

export function modernAsker(context: RequestContext, meta: JsonObject, options: AskerOptions): Asker {
  const { upstreams, listMs } = options
  return {
    context,
    scope: JSON.stringify(['modern', context.protocolVersion, meta, principalKey(context.principal)]),
    ask(server, method, params) {
      const upstream = upstreams.get(server)
      if (upstream === undefined) return Promise.resolve(gone(server))
      const link = upstream.modern(context.principal)
      return askUnlessFailing(upstream, listMs, link, context, method, { ...params, _meta: meta })
    },
    keepMs: () => 0,
  }
}

function keepMs(upstream: Upstream | undefined, list: ListKind): number {
  const known = upstream?.knownEra
  const facts = known === undefined ? undefined : legacyFacts(known)
  const capability = facts?.capabilities[list.capability]
  return isRecord(capability) && capability['listChanged'] === true ? KEEP_ANNOUNCED_MS : KEEP_SILENT_MS
}

/** One that is left alone because it keeps failing is not waited for; how it does here counts as well. */
async function askUnlessFailing(
  { name, guard }: Upstream,
  timeoutMs: number,
  carrier: Carrier,
  context: RequestContext,
  method: string,
  params: unknown,
): Promise<InternalAnswer | SallyportError> {
  const trial = {}
  const breaker = guard.breakerOf(context.principal.tenant)
  const refusal = breaker.admit(trial)
  if (refusal !== undefined) return refusal
  const answer = await askWithin(timeoutMs, carrier, name, context, method, params)
  breaker.ended(trial, SallyportError.isInstance(answer) ? answer : undefined)
  return answer
}

function gone(server: string): UpstreamError {
  return new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', server, 'is not configured any more', {
    retrySafe: true,
  })
}

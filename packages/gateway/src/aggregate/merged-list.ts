import {
  type GatewayInterceptor,
  type JsonObject,
  type ListedDefinition,
  type Logger,
  SallyportError,
} from '@sallyport/core'
import type { Flow } from '../call/flow.ts'
import { whenAll } from '../call/when-all.ts'
import type { ListFilter } from '../policy/list-filter.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { RpcCode } from '../wire/protocol.ts'
import { suits, suitsAfterAsking } from './candidates.ts'
import type { Asker, Catalog, CatalogEntry } from './catalog.ts'
import type { CursorSeal } from './cursor.ts'
import { leftOut, takenIn } from './left-out.ts'
import type { ListKind } from './list-kind.ts'
import { cursorBinding, type Way } from './way.ts'

export interface MergedListOptions {
  readonly catalog: Catalog
  readonly cursors: CursorSeal
  readonly interceptors: readonly GatewayInterceptor[]
  /** Leaves out what policy hides. */
  readonly filter: ListFilter | undefined
  readonly logger: Logger
  /** How long a server may hold up a list. */
  readonly listMs: number
}

/** `_meta` key under which a list names the servers that it lacks. */
export const META_UNAVAILABLE = 'sallyport/unavailable'

/**
 * Answers a list of the aggregated endpoint. The lists of all servers stand in one page, in the order of the registry; a
 * server with a very long list is continued in further pages. A server that does not answer in time is left out,
 * and named in the result.
 */
export function answerList(
  flow: Flow,
  list: ListKind,
  way: Way,
  upstreams: readonly Upstream[],
  options: MergedListOptions,
): void {
  const { cursor } = flow.message.params
  if (cursor !== undefined && typeof cursor !== 'string') {
    flow.reject(flow.context.era === 'modern' ? 400 : 200, {
      code: RpcCode.invalidParams,
      message: 'params.cursor must be a string',
    })
    return
  }
  flow.begin(undefined, undefined, () => {
    const asker = way.asker()
    const fail = (error: unknown) => flow.fail(error)
    if (cursor !== undefined) {
      nextPage(flow, list, asker, cursor, upstreams, options).catch(fail)
      return
    }
    const known = plain(options) ? knownEntries(asker, list, upstreams, options) : undefined
    const shown = known === undefined ? undefined : afterPolicy(flow, known, options)
    if (shown === undefined) firstPage(flow, list, asker, upstreams, options).catch(fail)
    else if (shown instanceof Promise)
      shown.then((entries) => flow.answer(joined(flow, list, entries, [], options))).catch(fail)
    else flow.answer(joined(flow, list, shown, [], options))
  })
}

/** All entries, if none of them has to be waited for. */
function knownEntries(
  asker: Asker,
  list: ListKind,
  upstreams: readonly Upstream[],
  options: MergedListOptions,
): readonly CatalogEntry[] | undefined {
  const entries: CatalogEntry[] = []
  for (const upstream of upstreams) {
    const suited = suits(upstream, asker.context.era, list.capability)
    if (suited === false) continue
    const entry = suited === true ? options.catalog.known(asker, upstream.name, list) : undefined
    if (entry === undefined) return undefined
    entries.push(entry)
  }
  return entries
}

async function firstPage(
  flow: Flow,
  list: ListKind,
  asker: Asker,
  all: readonly Upstream[],
  options: MergedListOptions,
): Promise<void> {
  const { catalog, logger } = options
  const unavailable: string[] = []
  const one = async (upstream: Upstream): Promise<readonly CatalogEntry[]> => {
    const suited = await suitsAfterAsking(upstream, asker.context, list.capability, options.listMs)
    if (suited === false) return []
    const entry = suited === true ? await catalog.get(asker, upstream.name, list) : suited
    if (!SallyportError.isInstance(entry)) {
      takenIn(upstream, list)
      return [entry]
    }
    unavailable.push(upstream.name)
    leftOut(upstream, list, entry, logger)
    return []
  }
  const entries = (await Promise.all(all.map(one))).flat()
  const allowed = await afterPolicy(flow, entries, options)
  const shown = await afterInterceptors(flow, list, allowed, options)
  flow.answer(joined(flow, list, shown, unavailable.sort(), options))
}

async function nextPage(
  flow: Flow,
  list: ListKind,
  asker: Asker,
  cursor: string,
  all: readonly Upstream[],
  options: MergedListOptions,
): Promise<void> {
  const position = options.cursors.open(cursor, cursorBinding(flow))
  const upstream = all.find(({ name }) => name === position?.server)
  if (position === undefined || upstream === undefined) {
    flow.reject(200, {
      code: RpcCode.invalidParams,
      message: 'the cursor is not valid here; start again without one',
    })
    return
  }
  const entry = await options.catalog.get(asker, upstream.name, list, position.cursor)
  if (SallyportError.isInstance(entry)) {
    flow.fail(entry)
    return
  }
  // after this server's list, the next one that had more than fitted into the first page
  const followers: CatalogEntry[] = []
  if (entry.nextCursor === undefined) {
    for (const other of all.slice(all.indexOf(upstream) + 1)) {
      const more = await catalogEntry(other, asker, list, options)
      if (more?.nextCursor !== undefined)
        followers.push({ ...more, definitions: [], json: '', names: new Map() })
    }
  }
  const allowed = await afterPolicy(flow, [entry, ...followers], options)
  const shown = await afterInterceptors(flow, list, allowed, options)
  flow.answer(joined(flow, list, shown, [], options))
}

async function catalogEntry(
  upstream: Upstream,
  asker: Asker,
  list: ListKind,
  options: MergedListOptions,
): Promise<CatalogEntry | undefined> {
  const suited = await suitsAfterAsking(upstream, asker.context, list.capability, options.listMs)
  if (suited !== true) return undefined
  const entry = await options.catalog.get(asker, upstream.name, list)
  return SallyportError.isInstance(entry) ? undefined : entry
}

function plain({ interceptors }: MergedListOptions): boolean {
  return interceptors.every((interceptor) => interceptor.list === undefined)
}

/** At once, if policy needs no time. */
function afterPolicy(
  { context }: Flow,
  entries: readonly CatalogEntry[],
  { filter }: MergedListOptions,
): readonly CatalogEntry[] | Promise<readonly CatalogEntry[]> {
  if (filter === undefined) return entries
  return whenAll(
    entries.map((entry) => filter.apply(context.principal, entry)),
    (shown) => shown,
  )
}

async function afterInterceptors(
  flow: Flow,
  list: ListKind,
  entries: readonly CatalogEntry[],
  options: MergedListOptions,
): Promise<readonly CatalogEntry[]> {
  if (plain(options)) return entries
  const listed = entries.flatMap(({ server, definitions }) =>
    definitions.map((definition) => ({ server, definition })),
  )
  const shown = await throughInterceptors(flow, list, listed, options.interceptors)
  return entries.map((entry) => {
    const definitions = shown
      .filter(({ server }) => server === entry.server)
      .map(({ definition }) => definition)
    return { ...entry, definitions, json: jsonOf(definitions), isPublic: false }
  })
}

/** What interceptors make of a list. */
export async function throughInterceptors(
  { context }: Flow,
  list: ListKind,
  definitions: readonly ListedDefinition[],
  interceptors: readonly GatewayInterceptor[],
): Promise<readonly ListedDefinition[]> {
  let listed = definitions
  for (const interceptor of interceptors) {
    listed = (await interceptor.list?.(context, list.kind, listed)) ?? listed
  }
  return listed
}

function joined(
  flow: Flow,
  list: ListKind,
  entries: readonly CatalogEntry[],
  unavailable: readonly string[],
  options: MergedListOptions,
): string {
  const parts = [
    `"${list.kind}":[${(list.named ? entries : withoutRepeated(entries))
      .map(({ json }) => json)
      .filter((json) => json !== '')
      .join(',')}]`,
  ]
  const unfinished = entries.find(({ nextCursor }) => nextCursor !== undefined)
  if (unfinished?.nextCursor !== undefined) {
    const position = { server: unfinished.server, cursor: unfinished.nextCursor }
    parts.push(`"nextCursor":${JSON.stringify(options.cursors.seal(position, cursorBinding(flow)))}`)
  }
  if (flow.context.era === 'modern') {
    const ttlMs = entries.length === 0 ? 0 : Math.min(...entries.map((entry) => entry.ttlMs))
    const scope = entries.length > 0 && entries.every((entry) => entry.isPublic) ? 'public' : 'private'
    parts.push(
      `"resultType":"complete","ttlMs":${unavailable.length > 0 ? 0 : ttlMs},"cacheScope":"${scope}"`,
    )
  }
  if (unavailable.length > 0) parts.push(`"_meta":${JSON.stringify({ [META_UNAVAILABLE]: unavailable })}`)
  return `{${parts.join(',')}}`
}

/** A URI that two servers list leads to the first of them, so it is shown once. */
function withoutRepeated(entries: readonly CatalogEntry[]): readonly CatalogEntry[] {
  if (entries.length < 2) return entries
  const seen = new Set<unknown>()
  return entries.map((entry) => {
    const definitions = entry.definitions.filter(({ uri, uriTemplate }) => {
      const key = uri ?? uriTemplate
      return !seen.has(key) && seen.add(key)
    })
    return definitions.length === entry.definitions.length
      ? entry
      : { ...entry, definitions, json: jsonOf(definitions) }
  })
}

function jsonOf(definitions: readonly JsonObject[]): string {
  return definitions.map((definition) => JSON.stringify(definition)).join(',')
}

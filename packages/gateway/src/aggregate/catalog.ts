import {
  type DefinitionKind,
  type JsonObject,
  type RequestContext,
  SallyportError,
  UpstreamError,
} from '@sallyport/core'
import { isJsonObject } from '../call/interceptor-phases.ts'
import type { InternalAnswer } from '../call/internal-call.ts'
import type { ListKind } from './list-kind.ts'
import { publicName } from './names.ts'

/** What one server listed, under the names that clients see. */
export interface CatalogEntry {
  readonly server: string
  readonly kind: DefinitionKind
  readonly definitions: readonly JsonObject[]
  /** The definitions as JSON, without the brackets. */
  readonly json: string
  /** Public name to the server's own. */
  readonly names: ReadonlyMap<string, string>
  /** Where the server's list goes on, if the page was full. */
  readonly nextCursor: string | undefined
  /** Caching hints of the modern era (2026-07-28 server/utilities/caching). */
  readonly ttlMs: number
  readonly isPublic: boolean
  /** Milliseconds since the epoch. */
  readonly freshUntil: number
}

/** Somebody who can be asked for a server's list: a session, or a caller of the modern era. */
export interface Asker {
  readonly context: RequestContext
  /** Two askers with one scope see the same lists. */
  readonly scope: string
  ask(
    server: string,
    method: string,
    params: Readonly<Record<string, unknown>>,
  ): Promise<InternalAnswer | SallyportError>
  /** How long a list without caching hints of its own may be kept. */
  keepMs(server: string, list: ListKind): number
}

export interface CatalogOptions {
  readonly now: () => number
  readonly pageItems: number
  readonly maxEntries: number
}

/** A server that hands out cursors without end is not followed further in one go. */
const MAX_PAGES = 100

/** Lists of servers, fetched when they are needed and kept as long as their server allows. */
export class Catalog {
  readonly #options: CatalogOptions
  readonly #entries = new Map<string, CatalogEntry>()
  readonly #fetching = new Map<string, Promise<CatalogEntry | SallyportError>>()
  /** Counts invalidations, so that a list fetched before one is not kept after it. */
  readonly #generations = new Map<string, number>()

  constructor(options: CatalogOptions) {
    this.#options = options
  }

  /** The entry if it is fresh: the way that needs no waiting. */
  known(asker: Asker, server: string, list: ListKind): CatalogEntry | undefined {
    const entry = this.#entries.get(entryKey(asker, server, list))
    return entry !== undefined && entry.freshUntil > this.#options.now() ? entry : undefined
  }

  /** Asks the server unless its list is known. Never rejects. */
  get(asker: Asker, server: string, list: ListKind): Promise<CatalogEntry | SallyportError> {
    const known = this.known(asker, server, list)
    if (known !== undefined) return Promise.resolve(known)
    const key = entryKey(asker, server, list)
    const fetching = this.#fetching.get(key)
    if (fetching !== undefined) return fetching
    const generation = this.#generation(asker.context.principal.tenant, server)
    const started = this.page(asker, server, list, undefined).then((entry) => {
      this.#fetching.delete(key)
      const current = generation === this.#generation(asker.context.principal.tenant, server)
      if (!SallyportError.isInstance(entry) && current) this.#keep(key, entry)
      return entry
    })
    this.#fetching.set(key, started)
    return started
  }

  /** Part of a server's list: from `cursor` on, until the page is full. */
  async page(
    asker: Asker,
    server: string,
    list: ListKind,
    cursor: string | undefined,
  ): Promise<CatalogEntry | SallyportError> {
    const definitions: JsonObject[] = []
    let next = cursor
    let ttlMs: number | undefined
    let isPublic = true
    for (let pages = 1; ; pages++) {
      const answer = await asker.ask(server, list.method, next === undefined ? {} : { cursor: next })
      if ('code' in answer) return answer
      if ('error' in answer) {
        // a server that declares a capability but not this one of its methods has nothing to list
        if (answer.error.code === -32601) break
        return new UpstreamError('ERR_UPSTREAM_PROTOCOL', server, `${list.method}: ${answer.error.message}`)
      }
      const { result } = answer
      const items: unknown = result[list.kind]
      if (Array.isArray(items)) definitions.push(...items.filter(isJsonObject))
      ttlMs = Math.min(
        ttlMs ?? Number.POSITIVE_INFINITY,
        typeof result['ttlMs'] === 'number' ? Math.max(0, result['ttlMs']) : asker.keepMs(server, list),
      )
      isPublic &&= result['cacheScope'] === 'public'
      const { nextCursor } = result
      next = typeof nextCursor === 'string' ? nextCursor : undefined
      if (next === undefined || definitions.length >= this.#options.pageItems || pages === MAX_PAGES) break
    }
    return this.#entry(server, list, definitions, next, ttlMs ?? 0, isPublic)
  }

  /** A server said that its lists changed, or it is not the server that it was. */
  invalidate(tenant: string | undefined, server: string): void {
    for (const [key, entry] of this.#entries) {
      if (entry.server === server && (tenant === undefined || tenantOf(key) === tenant))
        this.#entries.delete(key)
    }
    const keys = tenant === undefined ? [...this.#generations.keys()] : [generationKey(tenant, server)]
    for (const key of keys) this.#generations.set(key, (this.#generations.get(key) ?? 0) + 1)
  }

  #entry(
    server: string,
    list: ListKind,
    items: readonly JsonObject[],
    nextCursor: string | undefined,
    ttlMs: number,
    isPublic: boolean,
  ): CatalogEntry {
    const names = new Map<string, string>()
    const definitions = items.map((item) => {
      const { name } = item
      if (!list.named || typeof name !== 'string') return item
      const shown = publicName(server, name)
      names.set(shown, name)
      return { ...item, name: shown }
    })
    const json = definitions.map((definition) => JSON.stringify(definition)).join(',')
    const freshUntil = this.#options.now() + ttlMs
    return { server, kind: list.kind, definitions, json, names, nextCursor, ttlMs, isPublic, freshUntil }
  }

  #keep(key: string, entry: CatalogEntry): void {
    if (entry.ttlMs === 0) return
    if (this.#entries.size >= this.#options.maxEntries) {
      const [oldest] = this.#entries.keys()
      if (oldest !== undefined) this.#entries.delete(oldest)
    }
    this.#entries.set(key, entry)
  }

  #generation(tenant: string, server: string): number {
    const key = generationKey(tenant, server)
    const known = this.#generations.get(key)
    if (known === undefined) this.#generations.set(key, 0)
    return known ?? 0
  }
}

function entryKey(asker: Asker, server: string, list: ListKind): string {
  return JSON.stringify([asker.context.principal.tenant, server, list.kind, asker.scope])
}

function tenantOf(key: string): unknown {
  const parts: unknown = JSON.parse(key)
  return Array.isArray(parts) ? parts[0] : undefined
}

function generationKey(tenant: string, server: string): string {
  return JSON.stringify([tenant, server])
}

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
/** Who only searches a list does not wait again, so soon, for a server that has just failed to give it. */
const FAILURE_MS = 5_000

/** Characters of lists that are kept for all callers together. */
const MAX_KEPT_CHARS = 32 * 1024 * 1024

/** Lists of servers, fetched when they are needed and kept as long as their server allows. */
export class Catalog {
  readonly #options: CatalogOptions
  readonly #entries = new Map<string, CatalogEntry>()
  #keptChars = 0
  readonly #fetching = new Map<string, Promise<CatalogEntry | SallyportError>>()
  readonly #failures = new Map<string, { readonly error: SallyportError; readonly at: number }>()
  /** Counts invalidations, so that a list fetched before one is not kept after it. */
  readonly #generations = new Map<string, number>()

  constructor(options: CatalogOptions) {
    this.#options = options
  }

  /** How much is kept. */
  get kept(): { readonly entries: number; readonly characters: number } {
    return { entries: this.#entries.size, characters: this.#keptChars }
  }

  /** The entry if it is fresh: the way that needs no waiting. */
  known(asker: Asker, server: string, list: ListKind, cursor?: string): CatalogEntry | undefined {
    const entry = this.#entries.get(entryKey(asker, server, list, cursor))
    return entry !== undefined && entry.freshUntil > this.#options.now() ? entry : undefined
  }

  /**
   * The server's list from its beginning, or from `cursor` on, until a page is full. Asks the server unless that is known.
   * Never rejects.
   */
  async get(
    asker: Asker,
    server: string,
    list: ListKind,
    cursor?: string,
  ): Promise<CatalogEntry | SallyportError> {
    const known = this.known(asker, server, list, cursor)
    if (known !== undefined) return known
    const key = entryKey(asker, server, list, cursor)
    const others = this.#fetching.get(key)
    if (others !== undefined) {
      const entry = await others
      // what went wrong may be theirs alone: their session ended, say
      if (!SallyportError.isInstance(entry)) return entry
    }
    return this.#fetching.get(key) ?? this.#fetch(key, asker, server, list, cursor)
  }

  /**
   * All pages of a server's list, as far as `wanted` has to go. Never rejects.
   * @param patient ask even a server that has just failed to answer
   */
  async find<Found>(
    asker: Asker,
    server: string,
    list: ListKind,
    wanted: (entry: CatalogEntry) => Found | undefined,
    patient = true,
  ): Promise<Found | undefined | SallyportError> {
    const failure = patient ? undefined : this.#failures.get(entryKey(asker, server, list, undefined))
    if (failure !== undefined && this.#options.now() - failure.at < FAILURE_MS) return failure.error
    let cursor: string | undefined
    for (let pages = 0; pages < MAX_PAGES; pages++) {
      const entry = await this.get(asker, server, list, cursor)
      if (SallyportError.isInstance(entry)) return entry
      const found = wanted(entry)
      if (found !== undefined || entry.nextCursor === undefined) return found
      cursor = entry.nextCursor
    }
    return undefined
  }

  #fetch(
    key: string,
    asker: Asker,
    server: string,
    list: ListKind,
    cursor: string | undefined,
  ): Promise<CatalogEntry | SallyportError> {
    const generation = this.#generation(asker.context.principal.tenant, server)
    const started = this.#page(asker, server, list, cursor).then((entry) => {
      if (this.#fetching.get(key) === started) this.#fetching.delete(key)
      const current = generation === this.#generation(asker.context.principal.tenant, server)
      if (SallyportError.isInstance(entry)) this.#failed(key, entry)
      else {
        this.#failures.delete(key)
        if (current) this.#keep(key, entry)
      }
      return entry
    })
    this.#fetching.set(key, started)
    return started
  }

  async #page(
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
      if (entry.server === server && (tenant === undefined || partsOf(key)[0] === tenant)) this.#drop(key)
    }
    const keys = tenant === undefined ? [...this.#generations.keys()] : [generationKey(tenant, server)]
    for (const key of keys) this.#generations.set(key, (this.#generations.get(key) ?? 0) + 1)
    // who asks from now on must not be answered with what was asked before
    for (const key of this.#fetching.keys()) {
      const [ofTenant, ofServer] = partsOf(key)
      if (ofServer === server && (tenant === undefined || ofTenant === tenant)) this.#fetching.delete(key)
    }
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
    const now = this.#options.now()
    for (const [other, { freshUntil }] of this.#entries) if (freshUntil <= now) this.#drop(other)
    this.#drop(key)
    this.#entries.set(key, entry)
    this.#keptChars += entry.json.length
    // callers choose much of the key, so entries may be many and large
    for (const oldest of this.#entries.keys()) {
      const full = this.#keptChars > MAX_KEPT_CHARS || this.#entries.size > this.#options.maxEntries
      if (!full || oldest === key) break
      this.#drop(oldest)
    }
  }

  #drop(key: string): void {
    this.#keptChars -= this.#entries.get(key)?.json.length ?? 0
    this.#entries.delete(key)
  }

  #failed(key: string, error: SallyportError): void {
    makeRoom(this.#failures, this.#options.maxEntries)
    this.#failures.set(key, { error, at: this.#options.now() })
  }

  #generation(tenant: string, server: string): number {
    const key = generationKey(tenant, server)
    const known = this.#generations.get(key)
    if (known === undefined) this.#generations.set(key, 0)
    return known ?? 0
  }
}

function makeRoom(map: Map<string, unknown>, size: number): void {
  const [oldest] = map.size >= size ? map.keys() : []
  if (oldest !== undefined) map.delete(oldest)
}

function entryKey(asker: Asker, server: string, list: ListKind, cursor: string | undefined): string {
  return JSON.stringify([asker.context.principal.tenant, server, list.kind, asker.scope, cursor])
}

function partsOf(key: string): readonly unknown[] {
  const parts: unknown = JSON.parse(key)
  return Array.isArray(parts) ? parts : []
}

function generationKey(tenant: string, server: string): string {
  return JSON.stringify([tenant, server])
}

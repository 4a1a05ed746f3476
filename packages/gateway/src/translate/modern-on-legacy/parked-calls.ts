import { randomUUID } from 'node:crypto'
import { parseJson } from '../../wire/client-message.ts'
import { StateSeal } from './state-seal.ts'

/** A call whose server waits for the client's answers, while no request of the client is open. */
export interface Parked {
  /** `principalKey` of the caller. */
  readonly owner: string
  readonly tenant: string
  readonly server: string
  /** Bytes that are kept while it waits. */
  readonly bytesKept: number
  /** Rounds of questions so far: a state is good for the round that it was made for, once. */
  readonly round: number
  /** Nobody has come back in time. */
  expire(): void
}

/** What a state is good for. */
export interface Binding {
  /** Who may show it, and to which server. */
  readonly caller: string
  /** What was asked for. Only read where it is needed. */
  readonly digest: string
}

export interface ParkedCallsOptions {
  readonly now: () => number
  readonly maxCalls: number
  readonly maxPerOwner: number
  /** Milliseconds that a client has to answer. */
  readonly keepMs: number
  readonly seal?: StateSeal
}

/** What a state stands for: a call that waits here, or permission to send the same request again. */
export type OpenedState<Call> =
  | { readonly is: 'parked'; readonly call: Call }
  | { readonly is: 'again' }
  | { readonly is: 'invalid' | 'elsewhere' | 'expired' | 'used' }

interface Place<Call> {
  readonly call: Call
  readonly expiresAt: number
  bytes: number
}

/** Why a call cannot wait. */
export interface ParkingLimit {
  readonly limit: number
  readonly of: 'calls' | `calls of one ${'caller' | 'tenant' | 'server'}` | 'bytes' | 'bytes of one caller'
}

const SWEEP_MS = 1_000
/** Requests, questions and answers that wait, of all callers together. */
const MAX_BYTES = 256 * 1024 * 1024
/** The same, of one caller: others need some of it too. */
const MAX_OWN_BYTES = MAX_BYTES / 8

interface Tally {
  calls: number
  bytes: number
}

/** Of all calls that may wait, those of one server: each keeps a connection to it. */
export function mostParkedAt(maxCalls: number): number {
  return Math.ceil(maxCalls / 4)
}

function mostOfTenant(maxCalls: number): number {
  return Math.ceil(maxCalls / 2)
}

function count(tallies: Map<string, Tally>, key: string, calls: number, bytes: number): void {
  const tally = tallies.get(key) ?? { calls: 0, bytes: 0 }
  tally.calls += calls
  tally.bytes += bytes
  if (tally.calls > 0) tallies.set(key, tally)
  else tallies.delete(key)
}

/** The calls of all servers that wait for clients, and the states that lead to them. One per gateway, so that it can be bounded. */
export class ParkedCalls<Call extends Parked> {
  readonly #options: ParkedCallsOptions
  readonly #seal: StateSeal
  readonly #places = new Map<string, Place<Call>>()
  readonly #ids = new Map<Call, string>()
  readonly #owners = new Map<string, Tally>()
  readonly #tenants = new Map<string, Tally>()
  readonly #servers = new Map<string, Tally>()
  #bytes = 0
  #sweep: NodeJS.Timeout | undefined

  constructor(options: ParkedCallsOptions) {
    this.#options = options
    this.#seal = options.seal ?? new StateSeal()
  }

  get size(): number {
    return this.#places.size
  }

  /** The `requestState` that the client comes back with, or which limit keeps the call from waiting. */
  park(call: Call, boundTo: Binding): { readonly state: string } | ParkingLimit {
    const { now, maxCalls, maxPerOwner, keepMs } = this.#options
    const own = this.#owners.get(call.owner) ?? { calls: 0, bytes: 0 }
    const bytes = call.bytesKept
    if (own.calls >= maxPerOwner) return { limit: maxPerOwner, of: 'calls of one caller' }
    if (this.#places.size >= maxCalls) return { limit: maxCalls, of: 'calls' }
    const ofTenant = mostOfTenant(maxCalls)
    if ((this.#tenants.get(call.tenant)?.calls ?? 0) >= ofTenant)
      return { limit: ofTenant, of: 'calls of one tenant' }
    const atServer = mostParkedAt(maxCalls)
    if ((this.#servers.get(call.server)?.calls ?? 0) >= atServer)
      return { limit: atServer, of: 'calls of one server' }
    if (this.#bytes + bytes > MAX_BYTES) return { limit: MAX_BYTES, of: 'bytes' }
    if (own.bytes + bytes > MAX_OWN_BYTES) return { limit: MAX_OWN_BYTES, of: 'bytes of one caller' }
    const id = randomUUID()
    const expiresAt = now() + keepMs
    this.#places.set(id, { call, expiresAt, bytes })
    this.#bytes += bytes
    this.#ids.set(call, id)
    count(this.#owners, call.owner, 1, bytes)
    count(this.#tenants, call.tenant, 1, bytes)
    count(this.#servers, call.server, 1, bytes)
    this.#sweep ??= setInterval(() => this.#expire(), SWEEP_MS).unref()
    return { state: this.#sealed([id, call.round, expiresAt], boundTo) }
  }

  /** True if so much more can be kept for a call that waits. */
  mayKeep(call: Call, bytes: number): boolean {
    const place = this.#places.get(this.#ids.get(call) ?? '')
    const own = this.#owners.get(call.owner)
    if (place === undefined || own === undefined) return false
    if (this.#bytes + bytes > MAX_BYTES || own.bytes + bytes > MAX_OWN_BYTES) return false
    place.bytes += bytes
    own.bytes += bytes
    this.#bytes += bytes
    return true
  }

  /** A state without a call: whoever shows it may send its request again. */
  again(boundTo: Binding): string {
    const expiresAt = this.#options.now() + this.#options.keepMs
    return this.#sealed(['', 0, expiresAt], boundTo)
  }

  /** Finds out what a state stands for; it is not used up by that. */
  look(state: string, boundTo: Binding): OpenedState<Call> {
    const opened = this.#seal.open(state, boundTo.caller)
    if (typeof opened === 'string') return { is: opened }
    const content = parseJson(Buffer.from(opened.content))
    const [id, round, expiresAt, digest]: unknown[] = Array.isArray(content) ? content : []
    if (typeof id !== 'string' || typeof expiresAt !== 'number') return { is: 'invalid' }
    if (expiresAt <= this.#options.now()) return { is: 'expired' }
    const place = this.#places.get(id)
    if (id !== '' && place?.call.round !== round) return { is: 'used' }
    // last, because it costs the most: the whole request is looked at
    if (digest !== boundTo.digest) return { is: 'invalid' }
    return place === undefined ? { is: 'again' } : { is: 'parked', call: place.call }
  }

  #sealed(content: readonly unknown[], { caller, digest }: Binding): string {
    return this.#seal.seal(JSON.stringify([...content, digest]), caller)
  }

  /** The call does not wait any more: its client is back, or it is over. */
  leave(call: Call): void {
    const id = this.#ids.get(call)
    if (id === undefined) return
    this.#ids.delete(call)
    const bytes = this.#places.get(id)?.bytes ?? 0
    this.#bytes -= bytes
    this.#places.delete(id)
    count(this.#owners, call.owner, -1, -bytes)
    count(this.#tenants, call.tenant, -1, -bytes)
    count(this.#servers, call.server, -1, -bytes)
    if (this.#places.size > 0) return
    clearInterval(this.#sweep)
    this.#sweep = undefined
  }

  #expire(): void {
    const now = this.#options.now()
    for (const { call, expiresAt } of [...this.#places.values()]) {
      if (expiresAt > now) continue
      this.leave(call)
      call.expire()
    }
  }
}

import { type Principal, principalKey } from '@sallyport/core'

/** A connection, as far as its client's reading goes. */
export interface SlowClient {
  /** Absent before authentication. */
  readonly principal: Principal | undefined
  /** Bytes that the client has not taken yet. */
  readonly waitingBytes: number
  /** Bytes that it has taken since the connection was opened. Only grows while the client reads. */
  readonly takenBytes: number
  /** Breaks the connection off; what waits is thrown away. */
  destroy(): void
}

export interface SlowClientLimits {
  readonly waitingBytesPerPrincipal: number
  readonly waitingBytes: number
  readonly stalledWriteMs: number
}

export interface SlowClientOptions {
  readonly limits: SlowClientLimits
  /** A client was cut off. */
  readonly onCut: (client: SlowClient, limit: keyof SlowClientLimits, waitingBytes: number) => void
}

interface Caller {
  readonly key: string
  bytes: number
  readonly entries: Set<Entry>
}

interface Entry {
  readonly client: SlowClient
  readonly caller: Caller
  bytes: number
  takenBytes: number
  /** When it last took something, in milliseconds of a clock that only goes forward. */
  takenAt: number
  /** Looks after each other that found nothing taken: a process that stood still itself does not blame its clients. */
  idleLooks: number
}

/**
 * The clients for which something waits in memory, because they read more slowly than servers answer. What waits is bounded
 * per caller and for the process; whoever takes nothing at all is cut off after a while. A client that takes what it is
 * given at once is never seen here.
 */
export class SlowClients {
  readonly #options: SlowClientOptions
  readonly #lookMs: number
  readonly #entries = new Map<SlowClient, Entry>()
  readonly #callers = new Map<string, Caller>()
  #bytes = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: SlowClientOptions) {
    this.#options = options
    this.#lookMs = Math.min(1_000, options.limits.stalledWriteMs / 4)
  }

  /** Bytes that wait for all of them together. */
  get waitingBytes(): number {
    return this.#bytes
  }

  /** Something was written to the client, or the client has taken something. */
  update(client: SlowClient): void {
    const bytes = client.waitingBytes
    const known = this.#entries.get(client)
    if (bytes === 0) {
      if (known !== undefined) this.#remove(known)
      return
    }
    const entry = known ?? this.#add(client)
    if (client.takenBytes > entry.takenBytes) {
      entry.takenBytes = client.takenBytes
      entry.takenAt = performance.now()
      entry.idleLooks = 0
    }
    this.#count(entry, bytes)
    this.#relieve(entry.caller)
  }

  /** The connection is gone. */
  remove(client: SlowClient): void {
    const entry = this.#entries.get(client)
    if (entry !== undefined) this.#remove(entry)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #add(client: SlowClient): Entry {
    const key = client.principal === undefined ? '' : principalKey(client.principal)
    let caller = this.#callers.get(key)
    if (caller === undefined) {
      caller = { key, bytes: 0, entries: new Set() }
      this.#callers.set(key, caller)
    }
    const { takenBytes } = client
    const entry: Entry = { client, caller, bytes: 0, takenBytes, takenAt: performance.now(), idleLooks: 0 }
    caller.entries.add(entry)
    this.#entries.set(client, entry)
    this.#timer ??= setInterval(() => this.#look(), this.#lookMs).unref()
    return entry
  }

  #remove(entry: Entry): void {
    this.#count(entry, 0)
    this.#entries.delete(entry.client)
    entry.caller.entries.delete(entry)
    if (entry.caller.entries.size === 0) this.#callers.delete(entry.caller.key)
    if (this.#entries.size === 0) this.close()
  }

  #count(entry: Entry, bytes: number): void {
    const change = bytes - entry.bytes
    entry.bytes = bytes
    entry.caller.bytes += change
    this.#bytes += change
  }

  #look(): void {
    const looks = this.#options.limits.stalledWriteMs / this.#lookMs
    for (const entry of [...this.#entries.values()]) {
      if (this.#entries.get(entry.client) !== entry) continue
      entry.idleLooks++
      this.update(entry.client)
      if (entry.idleLooks >= looks && this.#entries.has(entry.client)) this.#cut(entry, 'stalledWriteMs')
    }
  }

  /** Cuts off those who keep the most waiting for the longest, never somebody else for them. */
  #relieve(caller: Caller): void {
    const { waitingBytesPerPrincipal, waitingBytes } = this.#options.limits
    while (caller.bytes > waitingBytesPerPrincipal) this.#cut(slowest(caller), 'waitingBytesPerPrincipal')
    while (this.#bytes > waitingBytes) this.#cut(slowest(this.#largest(caller)), 'waitingBytes')
  }

  #largest(first: Caller): Caller {
    let largest = first
    for (const caller of this.#callers.values()) if (caller.bytes > largest.bytes) largest = caller
    return largest
  }

  #cut(entry: Entry | undefined, limit: keyof SlowClientLimits): void {
    if (entry === undefined) return
    const { client, bytes } = entry
    this.#remove(entry)
    client.destroy()
    this.#options.onCut(client, limit, bytes)
  }
}

/** The one that has taken nothing for the longest time. */
function slowest({ entries }: Caller): Entry | undefined {
  let found: Entry | undefined
  for (const entry of entries) if (found === undefined || entry.takenAt < found.takenAt) found = entry
  return found
}

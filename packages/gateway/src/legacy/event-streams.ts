import type { ByteStream } from '../front/http-exchange.ts'
import { sseEvent } from '../wire/sse-parser.ts'

export interface EventStreamLimits {
  /** Events kept for a client that comes back, per stream. */
  readonly maxEvents: number
  /** Bytes kept for a client that comes back, per stream. */
  readonly maxBytes: number
  /** Streams kept per session. */
  readonly maxStreams: number
}

/**
 * The SSE streams of one legacy session. A stream is more than its connection: what is sent while the client is away is
 * kept, within limits, and replayed when it returns with `Last-Event-ID` (2025-11-25 transports, "Resumability and Redelivery").
 * An event id is `<stream>_<number>`: unique in the session, and it names its stream.
 */
export class EventStreams {
  readonly #limits: EventStreamLimits
  readonly #priming: boolean
  readonly #streams = new Map<number, EventStream>()
  #next = 1

  constructor(limits: EventStreamLimits, priming: boolean) {
    this.#limits = limits
    this.#priming = priming
  }

  create(): EventStream {
    const number = this.#next++
    const stream = new EventStream(number, this.#limits, this.#priming, () => this.#streams.delete(number))
    this.#streams.set(number, stream)
    for (const [key, old] of this.#streams) {
      if (this.#streams.size <= this.#limits.maxStreams) break
      if (!old.attached) this.#streams.delete(key)
    }
    return stream
  }

  /** The stream that an event id belongs to, and how many of its events the client has seen. */
  find(eventId: string): { stream: EventStream; seen: number } | undefined {
    const [, number, seen] = /^(\d{1,15})_(\d{1,15})$/.exec(eventId) ?? []
    const stream = this.#streams.get(Number(number))
    return stream === undefined ? undefined : { stream, seen: Number(seen) }
  }

  close(): void {
    for (const stream of this.#streams.values()) stream.close()
    this.#streams.clear()
  }
}

export class EventStream {
  readonly #number: number
  readonly #limits: EventStreamLimits
  readonly #priming: boolean
  readonly #forget: () => void
  readonly #kept: { readonly sequence: number; readonly message: Buffer }[] = []
  #keptBytes = 0
  #sequence = 0
  /** Last event that was written to a connection. */
  #delivered = 0
  #connection: ByteStream | undefined
  #finished = false

  constructor(number: number, limits: EventStreamLimits, priming: boolean, forget: () => void) {
    this.#number = number
    this.#limits = limits
    this.#priming = priming
    this.#forget = forget
  }

  get attached(): boolean {
    return this.#connection !== undefined
  }

  /** True as long as more events can come or kept ones wait for the client. */
  get open(): boolean {
    return !this.#finished || this.#kept.length > 0
  }

  push(message: Buffer): void {
    const sequence = ++this.#sequence
    this.#kept.push({ sequence, message })
    this.#keptBytes += message.length
    while (
      this.#kept.length > 1 &&
      (this.#kept.length > this.#limits.maxEvents || this.#keptBytes > this.#limits.maxBytes)
    ) {
      this.#keptBytes -= this.#kept.shift()?.message.length ?? 0
    }
    const connection = this.#connection
    if (connection === undefined) return
    connection.write(sseEvent(message, this.#eventId(sequence)))
    this.#delivered = sequence
    // too slow: let go of the connection, the client can fetch the rest
    if (connection.bufferedBytes > this.#limits.maxBytes * 4) {
      this.#connection = undefined
      connection.end()
    }
  }

  /** Sends what the client has not seen (`seen` from its `Last-Event-ID`, else what was never sent), then what comes. */
  attach(connection: ByteStream, seen?: number): void {
    this.#connection?.end()
    this.#connection = connection
    const from = seen ?? this.#delivered
    if (seen === undefined && this.#priming) {
      connection.write(Buffer.from(`id: ${this.#eventId(from)}\ndata: \n\n`))
    }
    for (const { sequence, message } of this.#kept) {
      if (sequence <= from) continue
      connection.write(sseEvent(message, this.#eventId(sequence)))
      this.#delivered = Math.max(this.#delivered, sequence)
    }
    if (this.#finished) this.#end()
  }

  /** The client is gone; a connection that has been replaced already does not matter. */
  detach(connection: ByteStream): void {
    if (this.#connection === connection) this.#connection = undefined
  }

  /** Closes the connection, not the stream: the client is to come back after `retryMs`. */
  pause(retryMs: number | undefined): void {
    const connection = this.#connection
    this.#connection = undefined
    if (connection === undefined) return
    if (retryMs !== undefined) connection.write(Buffer.from(`retry: ${retryMs}\n\n`))
    connection.end()
  }

  /** No more events come. Kept until a client that is away has fetched them. */
  finish(): void {
    this.#finished = true
    if (this.#connection !== undefined) this.#end()
  }

  close(): void {
    this.#finished = true
    this.#connection?.end()
    this.#connection = undefined
  }

  /** A comment keeps proxies from closing a quiet connection. */
  keepAlive(): void {
    this.#connection?.write(Buffer.from(':\n\n'))
  }

  #end(): void {
    this.#connection?.end()
    this.#connection = undefined
    this.#kept.length = 0
    this.#forget()
  }

  #eventId(sequence: number): string {
    return `${this.#number}_${sequence}`
  }
}

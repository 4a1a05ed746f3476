import { randomBytes } from 'node:crypto'
import type { ByteStream } from '../front/http-exchange.ts'
import { sseEvent } from '../wire/sse-parser.ts'
import type { CallerReplay, ReplayKeeper } from './replay-budget.ts'

export interface EventStreamLimits {
  /** Events kept for a client that comes back, per stream. */
  readonly maxEvents: number
  /** Bytes kept for a client that comes back, per stream. */
  readonly maxBytes: number
  /** Streams kept per session. */
  readonly maxStreams: number
}

/** A stream carries the answer to one call, or what the server says unasked. */
export type StreamKind = 'call' | 'unasked'

/** Where a client stands, by the id of the last event that it saw. */
export type Place =
  | { readonly stream: EventStream; readonly seen: number }
  /** The event was one of a call whose stream is not kept any more. */
  | 'gone'
  | undefined

/** A stream that has ended is kept this long for a client that lost the end of it. */
const KEPT_AFTER_END_MS = 60_000
const MOST_SLACK = 8_192

/**
 * The SSE streams of one legacy session. A stream is more than its connection: what is sent while the client is away is
 * kept, within limits, and replayed when it returns with `Last-Event-ID` (2025-11-25 transports, "Resumability and Redelivery").
 * An event id is `<stream>_<number>`: unique in the session, whichever gateway process wrote it, and it names its stream. What was written to a connection may not
 * have arrived, so the end of a stream is kept as well.
 */
export class EventStreams {
  readonly #limits: EventStreamLimits
  readonly #replay: CallerReplay
  readonly #priming: boolean
  readonly #now: () => number
  /** Another process numbers its streams of this session as well. */
  readonly #mark = randomBytes(4).toString('hex')
  readonly #streams = new Map<string, EventStream>()
  /** Streams that have ended, and when; the oldest first. */
  readonly #ended = new Map<EventStream, number>()
  #next = 1
  #closed = false

  constructor(limits: EventStreamLimits, replay: CallerReplay, priming: boolean, now: () => number) {
    this.#limits = limits
    this.#replay = replay
    replay.join()
    this.#priming = priming
    this.#now = now
  }

  create(kind: StreamKind): EventStream {
    const name = `${kind === 'call' ? 'c' : 's'}${this.#next++}-${this.#mark}`
    const stream = new EventStream(name, this.#limits, this.#replay, this.#priming, () =>
      this.#keepEnded(stream),
    )
    if (this.#closed) stream.forget()
    this.#streams.set(name, stream)
    for (const old of [...this.#ended.keys(), ...this.#streams.values()]) {
      if (this.#streams.size <= this.#limits.maxStreams) break
      if (!old.attached && old !== stream) this.#forget(old)
    }
    return stream
  }

  /** The stream that an event id belongs to, and how many of its events the client has seen. */
  find(eventId: string): Place {
    const [, name = '', seen] = /^([cs]\d{1,15}(?:-[\da-f]{8})?)_(\d{1,15})$/.exec(eventId) ?? []
    const stream = this.#streams.get(name)
    if (stream !== undefined) return { stream, seen: Number(seen) }
    return name.startsWith('c') ? 'gone' : undefined
  }

  /** Streams with a client at their end, and bytes kept for clients that come back. */
  get load(): { readonly attached: number; readonly keptBytes: number } {
    let [attached, keptBytes] = [0, 0]
    for (const stream of this.#streams.values()) {
      if (stream.attached) attached++
      keptBytes += stream.keptBytes
    }
    return { attached, keptBytes }
  }

  /** Lets go of what no client came back for. */
  sweep(): void {
    const before = this.#now() - KEPT_AFTER_END_MS
    for (const [stream, endedAt] of this.#ended) if (endedAt <= before) this.#forget(stream)
  }

  #keepEnded(stream: EventStream): void {
    if (this.#streams.get(stream.name) !== stream || this.#ended.has(stream)) return
    this.#ended.set(stream, this.#now())
    let bytes = 0
    for (const { keptBytes } of this.#ended.keys()) bytes += keptBytes
    for (const old of this.#ended.keys()) {
      if (bytes <= this.#limits.maxBytes) break
      bytes -= old.keptBytes
      if (old !== stream) this.#forget(old)
    }
  }

  #forget(stream: EventStream): void {
    this.#streams.delete(stream.name)
    this.#ended.delete(stream)
    stream.forget()
  }

  close(): void {
    for (const stream of this.#streams.values()) {
      stream.close()
      stream.forget()
    }
    if (!this.#closed) this.#replay.leave()
    this.#closed = true
    this.#streams.clear()
    this.#ended.clear()
  }
}

export class EventStream implements ReplayKeeper {
  readonly name: string
  readonly #limits: EventStreamLimits
  readonly #replay: CallerReplay
  readonly #priming: boolean
  readonly #onEnd: () => void
  #kept: { readonly sequence: number; readonly message: Buffer }[] = []
  #keptBytes = 0
  #sequence = 0
  /** Last event that was written to a connection. */
  #delivered = 0
  #connection: ByteStream | undefined
  #finished = false
  #forgotten = false

  constructor(
    name: string,
    limits: EventStreamLimits,
    replay: CallerReplay,
    priming: boolean,
    onEnd: () => void,
  ) {
    this.name = name
    this.#limits = limits
    this.#replay = replay
    this.#priming = priming
    this.#onEnd = onEnd
  }

  get attached(): boolean {
    return this.#connection !== undefined
  }

  /** True as long as more events can come. */
  get open(): boolean {
    return !this.#finished
  }

  /** Nobody can come back to it any more: it keeps nothing from now on. */
  forget(): void {
    this.#forgotten = true
    this.discardKept()
  }

  discardKept(): void {
    this.#kept = []
    this.#keptBytes = 0
    this.#replay.update(this, 0)
  }

  get keptBytes(): number {
    return this.#keptBytes
  }

  push(message: Buffer): void {
    const sequence = ++this.#sequence
    if (!this.#forgotten) this.#keep(sequence, message)
    const connection = this.#connection
    if (connection === undefined) return
    // too slow: let go of the connection, the client can fetch the rest
    if (connection.bufferedBytes > this.#limits.maxBytes * 4) {
      this.#connection = undefined
      connection.cut()
      return
    }
    connection.write(sseEvent(message, this.#eventId(sequence)))
    this.#delivered = sequence
  }

  /** Sends what the client has not seen (`seen` from its `Last-Event-ID`, else what was never sent), then what comes. */
  attach(connection: ByteStream, seen?: number): void {
    this.#connection?.cut()
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

  /**
   * Closes the connection, not the stream: the client is to come back after `retryMs`. Clients of older revisions would
   * take that for the end of their call, so theirs stays open.
   */
  pause(retryMs: number | undefined): void {
    if (!this.#priming) return
    const connection = this.#connection
    this.#connection = undefined
    if (connection === undefined) return
    if (retryMs !== undefined) connection.write(Buffer.from(`retry: ${retryMs}\n\n`))
    connection.end()
  }

  /** No more events come. */
  finish(): void {
    this.#finished = true
    this.#end()
    this.#onEnd()
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

  #keep(sequence: number, message: Buffer): void {
    this.#kept.push({ sequence, message: compact(message) })
    this.#keptBytes += message.length
    // an event that alone is more than what may be kept is sent, but not kept
    while (this.#kept.length > this.#limits.maxEvents || this.#keptBytes > this.#limits.maxBytes) {
      this.#keptBytes -= this.#kept.shift()?.message.length ?? 0
    }
    this.#replay.update(this, this.#keptBytes)
  }

  #end(): void {
    this.#connection?.end()
    this.#connection = undefined
  }

  #eventId(sequence: number): string {
    return `${this.name}_${sequence}`
  }
}

/** A small message may be part of a large chunk that came from a socket, and would keep all of that in memory. */
function compact(message: Buffer): Buffer {
  return message.buffer.byteLength > 2 * message.length + MOST_SLACK ? Buffer.from(message) : message
}

import type { Challenge } from '@sallyport/core'
import type { Reply } from '../call/reply.ts'
import type { EventStream } from '../legacy/event-streams.ts'
import { sseEvent } from '../wire/sse-parser.ts'
import type { Admission } from './admission.ts'
import { type ByteStream, type HttpExchange, JSON_TYPE, NO_HEADERS } from './http-exchange.ts'

export const SSE_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
}

export interface HttpReplyOptions {
  readonly admission: Admission
  readonly headers: Readonly<Record<string, string>>
  /** What the client takes (its `Accept`). */
  readonly accepts: 'both' | 'json' | 'sse'
  /** Makes streams that outlast their connection; legacy sessions only. */
  readonly session: { createStream(): EventStream } | undefined
  readonly maxBufferedBytes: number
}

/** Answers one POST: with one JSON object if nothing comes before the response, otherwise with an event stream. */
export class HttpReply implements Reply {
  /** The client is gone: in the modern era that cancels the call, in the legacy era it does not. */
  caller: { gone(): void } | undefined
  readonly #exchange: HttpExchange
  readonly #options: HttpReplyOptions
  #stream: ByteStream | undefined
  #events: EventStream | undefined
  #gone = false
  #annotations: Readonly<Record<string, string>> | undefined

  constructor(exchange: HttpExchange, options: HttpReplyOptions) {
    this.#exchange = exchange
    this.#options = options
    exchange.client = this
  }

  gone(): void {
    this.#gone = true
    if (this.#stream !== undefined) this.#events?.detach(this.#stream)
    this.caller?.gone()
  }

  interim(message: Buffer): void {
    if (this.#options.accepts === 'json') return
    if (this.#gone && this.#events === undefined) return
    this.#open()
    if (this.#events !== undefined) this.#events.push(message)
    else this.#write(sseEvent(message))
  }

  final(response: Buffer, status: number): void {
    if (this.#stream === undefined && this.#options.accepts !== 'sse') {
      if (this.#gone) return
      const { headers } = this.#options
      const usual =
        headers === NO_HEADERS && this.#annotations === undefined
          ? JSON_TYPE
          : { ...headers, ...this.#annotations, ...JSON_TYPE }
      // what was too much now may not be in a moment (RFC 6585 section 4, RFC 9110 section 15.6.4)
      const later = (status === 429 || status === 503) && !('retry-after' in usual)
      this.#exchange.respond(status, later ? { ...usual, 'retry-after': '1' } : usual, response)
      return
    }
    this.interim(response)
    if (this.#events !== undefined) this.#events.finish()
    else if (!this.#gone) this.#stream?.end()
  }

  abandon(): void {
    if (this.#events !== undefined) this.#events.finish()
    else if (this.#gone) return
    else if (this.#stream !== undefined) this.#stream.end()
    // nothing is owed for a cancelled request, but HTTP needs an answer: a stream without events
    else this.#exchange.respond(200, { ...this.#options.headers, ...this.#annotations, ...SSE_HEADERS })
  }

  pause(retryMs: number | undefined): void {
    if (this.#options.session === undefined || this.#options.accepts === 'json' || this.#gone) return
    this.#open()
    this.#events?.pause(retryMs)
  }

  annotate(headers: Readonly<Record<string, string>>): void {
    this.#annotations = this.#annotations === undefined ? headers : { ...this.#annotations, ...headers }
  }

  challenge(challenge: Challenge): void {
    this.annotate({ 'www-authenticate': this.#options.admission.challengeHeader(challenge) })
  }

  /** A comment keeps proxies from closing a quiet connection. */
  keepAlive(): void {
    this.#write(Buffer.from(':\n\n'))
  }

  #open(): void {
    if (this.#stream !== undefined || this.#gone) return
    const headers = { ...this.#options.headers, ...this.#annotations, ...SSE_HEADERS }
    this.#stream = this.#exchange.stream(200, headers)
    this.#events = this.#options.session?.createStream()
    this.#events?.attach(this.#stream)
  }

  #write(event: Buffer): void {
    const stream = this.#stream
    if (stream === undefined || this.#gone) return
    // one message is always taken, however large: what counts is what the client has left lying before it
    if (stream.bufferedBytes <= this.#options.maxBufferedBytes) {
      stream.write(event)
      return
    }
    this.#gone = true
    stream.cut()
    this.caller?.gone()
  }
}

import { type SallyportError, UpstreamError } from '@sallyport/core'
import { type MessageScan, scanArray, scanMessage } from '../wire/scan-message.ts'
import { type SseEvent, SseParser } from '../wire/sse-parser.ts'
import { BlamelessError } from './blameless-error.ts'
import { type HttpAnswer, type HttpHeaders, oneHeader } from './http-client.ts'

export interface MessageListener {
  /** The head has come; what it decides is up to the listener. */
  head?(status: number, headers: HttpHeaders): void
  /** A JSON-RPC message: the whole body, or one event. */
  message(bytes: Buffer, scan: MessageScan, status: number): void
  /** An event's id and reconnection time, before its message. */
  position?(event: SseEvent): void
  /** The answer is complete. What else was in it is not told: an error page may repeat the secrets that it was sent. */
  end(status: number): void
  fail(error: SallyportError): void
}

export function isEventStream(headers: HttpHeaders): boolean {
  return oneHeader(headers, 'content-type')?.startsWith('text/event-stream') === true
}

/** Reads the JSON-RPC messages out of an HTTP answer, whichever of the two forms the server chose. */
export class MessageReader implements HttpAnswer {
  readonly #server: string
  readonly #maxBytes: number
  readonly #listener: MessageListener
  #status = 0
  #parser: SseParser | undefined
  #chunks: Buffer[] = []
  #bytes = 0
  readonly #timeoutMs: number
  /** Since when a message has been under way, by the monotonic clock; 0 if none is. */
  #begunAt = 0
  #failed = false

  /** @param timeoutMs for one message, from its first part to its last; 0 for as long as it takes */
  constructor(server: string, maxBytes: number, listener: MessageListener, timeoutMs = 0) {
    this.#server = server
    this.#timeoutMs = timeoutMs
    this.#maxBytes = maxBytes
    this.#listener = listener
  }

  head(status: number, headers: HttpHeaders): void {
    this.#status = status
    this.#listener.head?.(status, headers)
    if (!isEventStream(headers)) return
    this.#parser = new SseParser((event) => {
      this.#listener.position?.(event)
      if (event.data.length > 0 && event.type === 'message') this.#deliver(event.data)
    }, this.#maxBytes)
  }

  data(chunk: Buffer): void {
    if (this.#failed) return
    if (this.#parser === undefined) {
      this.#bytes += chunk.length
      if (this.#bytes > this.#maxBytes) this.#tooLarge(`the answer is larger than ${this.#maxBytes} bytes`)
      else {
        // most answers come in one part, and need no clock
        if (this.#chunks.length > 0) this.#checkTime()
        this.#chunks.push(chunk)
      }
      return
    }
    try {
      this.#parser.push(chunk)
      if (this.#parser.isBetweenEvents) this.#begunAt = 0
      else this.#checkTime()
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      this.#tooLarge(error.message)
    }
  }

  /** A byte now and then is no sign of life: it would keep a call open for ever. */
  #checkTime(): void {
    if (this.#timeoutMs === 0) return
    const now = performance.now()
    if (this.#begunAt === 0) this.#begunAt = now
    else if (now - this.#begunAt > this.#timeoutMs) {
      this.#failed = true
      this.#chunks = []
      const message = 'did not complete its answer in time'
      this.#listener.fail(new UpstreamError('ERR_UPSTREAM_TIMEOUT', this.#server, message))
    }
  }

  end(): void {
    if (this.#failed) return
    const [first] = this.#chunks
    const body = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks)
    this.#chunks = []
    if (body.length > 0) this.#deliver(body)
    this.#listener.end(this.#status)
  }

  fail(error: SallyportError): void {
    if (!this.#failed) this.#listener.fail(error)
  }

  #deliver(data: Buffer): void {
    const text = data.toString('latin1')
    const scan = scanMessage(text)
    if (scan !== undefined) {
      this.#deliverOne(data, scan)
      return
    }
    // what stands inside a list inside a list is no message
    const elements = text.trimStart().startsWith('[') ? scanArray(text) : undefined
    for (const [start, end] of elements ?? []) {
      const element = scanMessage(text.slice(start, end))
      if (element !== undefined) this.#deliverOne(data.subarray(start, end), element)
    }
  }

  #deliverOne(message: Buffer, scan: MessageScan): void {
    if (scan.methodStart >= 0 || scan.resultStart >= 0 || scan.errorStart >= 0)
      this.#listener.message(message, scan, this.#status)
  }

  /** A limit of ours, which says nothing of how well the server is. */
  #tooLarge(message: string): void {
    this.#failed = true
    this.#chunks = []
    this.#listener.fail(new BlamelessError('ERR_UPSTREAM_PROTOCOL', this.#server, message))
  }
}

import { type SallyportError, UpstreamError } from '@sallyport/core'
import type { Call } from '../call/call.ts'
import { isRecord, parseJson } from '../wire/client-message.ts'
import { isModernErrorCode } from '../wire/protocol.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import type { SseEvent } from '../wire/sse-parser.ts'
import { withCallersId } from './answer-id.ts'
import { type HttpHeaders, oneHeader } from './http-client.ts'
import { httpFailure, retryAfterOf } from './http-failure.ts'
import type { LegacyTransportOwner } from './legacy-transport.ts'
import { isEventStream, type MessageListener } from './message-reader.ts'

/** The transport that a call was sent over. */
export interface CallStreamHost {
  readonly server: string
  readonly owner: LegacyTransportOwner
  /** The call waits for its answer. */
  isOpen(call: Call): boolean
  /** The call is over; false if it was already. */
  settle(call: Call): boolean
  /** Opens the rest of a stream that ended before the response. */
  resume(stream: CallStream, lastEventId: string, afterMs: number): void
  sessionLost(call: Call): void
  initialized(sessionId: string | undefined): void
  negotiated(response: Buffer): void
  abort(call: Call): void
  /** Tells the server that nobody waits for the answer any more. */
  tellCancelled(call: Call, reason: string | undefined): void
  /** Takes the connection back if the server keeps the stream open after the response. */
  release(call: Call): void
}

const DEFAULT_RETRY_MS = 1_000
/** Reconnections to one stream that bring nothing new. */
const MAX_IDLE_RESUMES = 5

/** What comes back for one call of the legacy era, on one or, if the server lets go of it, several HTTP answers. */
export class CallStream implements MessageListener {
  readonly call: Call
  readonly #host: CallStreamHost
  /** The session that the call was sent in. */
  readonly #sessionId: string | undefined
  #lastEventId: string | undefined
  #retryMs: number | undefined
  #idleResumes = 0
  #progress = false
  #streamed = false
  #retryAfterMs: number | undefined

  constructor(host: CallStreamHost, call: Call, sessionId: string | undefined) {
    this.#host = host
    this.call = call
    this.#sessionId = sessionId
  }

  head(status: number, headers: HttpHeaders): void {
    const opening = this.call.method === 'initialize' && status < 400
    if (opening) this.#host.initialized(oneHeader(headers, 'mcp-session-id'))
    this.#streamed = isEventStream(headers)
    this.#retryAfterMs = retryAfterOf(status, headers)
  }

  position(event: SseEvent): void {
    this.#lastEventId = event.id ?? this.#lastEventId
    this.#retryMs = event.retryMs ?? this.#retryMs
  }

  message(message: Buffer, scan: MessageScan, status: number): void {
    if (!this.#host.isOpen(this.call)) return
    if (this.#isLost(status) || this.#isOtherEra(message, scan, status)) {
      this.#lost()
      return
    }
    this.#progress = true
    if (scan.methodStart >= 0) {
      this.#host.owner.fromServer(message, scan, this.call)
      return
    }
    const response = withCallersId(message, scan, this.call.idText)
    if (response === undefined) {
      this.#fail('answered with the id of another request')
      return
    }
    if (this.call.method === 'initialize') this.#host.negotiated(message)
    if (this.#streamed) this.#host.release(this.call)
    // in this era a status other than 200 speaks of the session, and that one is the gateway's
    if (this.#host.settle(this.call)) this.call.final(response, scan, 200)
  }

  end(status: number): void {
    if (!this.#host.isOpen(this.call)) return
    if (this.#isLost(status)) this.#lost()
    else if (status !== 200) this.#fault(httpFailure(this.#host.server, status, this.#retryAfterMs))
    else if (this.#lastEventId === undefined) this.#fail('ended its answer before the response')
    else if (!this.#resume(this.#lastEventId)) this.#fail('keeps ending the stream of this call')
    else this.call.pause(this.#retryMs)
  }

  fail(error: SallyportError): void {
    if (!this.#host.isOpen(this.call)) return
    // a connection that broke after an event with an id can be taken up again (2025-11-25 transports)
    const broken = error.code === 'ERR_UPSTREAM_UNAVAILABLE' && this.#lastEventId !== undefined
    if (broken && this.#resume(this.#lastEventId ?? '')) return
    // hanging up does not end a call in this era (2025-11-25 transports, "Sending Messages to the Server")
    if (error.code === 'ERR_UPSTREAM_TIMEOUT') this.#host.tellCancelled(this.call, 'timeout')
    this.#host.abort(this.call)
    if (this.#host.settle(this.call)) this.call.fail(error)
  }

  #resume(lastEventId: string): boolean {
    this.#idleResumes = this.#progress ? 0 : this.#idleResumes + 1
    this.#progress = false
    if (this.#idleResumes > MAX_IDLE_RESUMES) return false
    this.#host.resume(this, lastEventId, this.#retryMs ?? DEFAULT_RETRY_MS)
    return true
  }

  #lost(): void {
    if (!this.#host.settle(this.call)) return
    // the server had begun to answer, so it has run: sending it again could do its work twice
    if (this.#lastEventId === undefined) this.#host.sessionLost(this.call)
    else {
      const message = 'forgot the session while it worked on this call'
      this.call.fail(new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', this.#host.server, message))
    }
  }

  #isLost(status: number): boolean {
    return status === 404 && this.#sessionId !== undefined && this.call.method !== 'initialize'
  }

  /** The server was replaced by one of the modern era, which knows no sessions and has not run the call. */
  #isOtherEra(message: Buffer, scan: MessageScan, status: number): boolean {
    if (status !== 400 || scan.errorStart < 0 || this.call.method === 'initialize') return false
    const error = parseJson(message.subarray(scan.errorStart, scan.errorEnd))
    return isRecord(error) && isModernErrorCode(error['code'])
  }

  #fail(message: string): void {
    this.#fault(new UpstreamError('ERR_UPSTREAM_PROTOCOL', this.#host.server, message))
  }

  #fault(error: UpstreamError): void {
    if (this.#host.settle(this.call)) this.call.fail(error)
  }
}

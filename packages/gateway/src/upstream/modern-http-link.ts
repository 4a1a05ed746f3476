import { type SallyportError, UpstreamError } from '@sallyport/core'
import type { Call } from '../call/call.ts'
import { LATEST_MODERN } from '../wire/protocol.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import { splice } from '../wire/splice.ts'
import { statusForClient, withCallersId } from './answer-id.ts'
import { type HttpClient, type HttpHeaders, nothingToAbort } from './http-client.ts'
import { type Abortable, releaseLater } from './lingering.ts'
import { BlamelessError } from './blameless-error.ts'
import { httpFailure, retryAfterOf } from './http-failure.ts'
import { isEventStream, type MessageListener, MessageReader } from './message-reader.ts'
import { type ModernLink, type ModernNotice, timeoutOf } from './modern-link.ts'

export interface ModernHttpLinkOptions {
  readonly server: string
  readonly client: HttpClient
  readonly notice: ModernNotice
  readonly timeoutMs: number
  readonly maxAnswerBytes: number
}

/** Streamable HTTP of 2026-07-28, as a client: one POST for each call, and hanging up is how a call is cancelled. */
export class ModernHttpLink implements ModernLink {
  readonly options: ModernHttpLinkOptions
  readonly #open = new Map<Call, Abortable>()

  constructor(options: ModernHttpLinkOptions) {
    this.options = options
  }

  get process(): undefined {
    return undefined
  }

  send(call: Call): void {
    const { server, client, maxAnswerBytes } = this.options
    const { context } = call
    const body = call.edits.length === 0 ? call.bytes : splice(call.bytes, ...call.edits)
    const headers = [
      'content-type',
      'application/json',
      'accept',
      'application/json, text/event-stream',
      'mcp-protocol-version',
      context.protocolVersion || LATEST_MODERN,
      'mcp-method',
      call.method,
    ]
    if (call.headers.length > 0) headers.push(...call.headers)
    const timeoutMs = timeoutOf(call, this.options.timeoutMs)
    // the answer may come before `send` returns: a refusal of the credentials port does
    this.#open.set(call, nothingToAbort)
    const answer = new MessageReader(server, maxAnswerBytes, new ModernCallStream(this, call), timeoutMs)
    const request = client.send({ context, method: 'POST', headers, body, timeoutMs }, answer)
    if (this.#open.get(call) === nothingToAbort) this.#open.set(call, request)
  }

  cancel(call: Call): void {
    const request = this.#open.get(call)
    this.#open.delete(call)
    request?.abort()
  }

  isOpen(call: Call): boolean {
    return this.#open.has(call)
  }

  release(call: Call): void {
    releaseLater(this.#open.get(call))
  }

  /** The call is over; false if it was already. */
  settle(call: Call): boolean {
    return this.#open.delete(call)
  }

  async close(): Promise<void> {
    const { server } = this.options
    const error = new BlamelessError('ERR_UPSTREAM_UNAVAILABLE', server, 'was stopped by the gateway')
    for (const [call, request] of [...this.#open]) {
      this.#open.delete(call)
      request.abort()
      call.fail(error)
    }
  }
}

/** What comes back for one call. */
class ModernCallStream implements MessageListener {
  readonly #link: ModernHttpLink
  readonly #call: Call
  #streamed = false
  #retryAfterMs: number | undefined

  constructor(link: ModernHttpLink, call: Call) {
    this.#link = link
    this.#call = call
  }

  head(status: number, headers: HttpHeaders): void {
    this.#streamed = isEventStream(headers)
    this.#retryAfterMs = retryAfterOf(status, headers)
  }

  message(message: Buffer, scan: MessageScan, status: number): void {
    if (!this.#link.isOpen(this.#call)) return
    if (scan.methodStart >= 0) {
      // servers of this era ask in their results, not on the way (2026-07-28 streamable-http, "Receiving Messages")
      if (scan.idStart < 0) this.#link.options.notice(message, scan, this.#call)
      return
    }
    const response = withCallersId(message, scan, this.#call.idText)
    if (response === undefined) this.#fail('answered with the id of another request')
    else {
      if (this.#streamed) this.#link.release(this.#call)
      if (this.#link.settle(this.#call)) this.#call.final(response, scan, statusForClient(status))
    }
  }

  end(status: number): void {
    if (status === 200) this.#fail('ended its answer before the response')
    else if (this.#link.settle(this.#call))
      this.#call.fail(httpFailure(this.#link.options.server, status, this.#retryAfterMs))
  }

  fail(error: SallyportError): void {
    if (this.#link.isOpen(this.#call)) this.#link.cancel(this.#call)
    else return
    this.#call.fail(error)
  }

  #fail(message: string): void {
    if (!this.#link.settle(this.#call)) return
    this.#call.fail(new UpstreamError('ERR_UPSTREAM_PROTOCOL', this.#link.options.server, message))
  }
}

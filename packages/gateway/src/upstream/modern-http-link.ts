import { type SallyportError, UpstreamError } from '@sallyport/core'
import type { Call } from '../call/call.ts'
import { envelopeOf } from '../aggregate/envelope.ts'
import { ShortLivedMap } from '../short-lived-map.ts'
import { isRecord, parseJson } from '../wire/client-message.ts'
import { paramHeadersFor } from '../wire/param-headers.ts'
import { LATEST_MODERN, RpcCode } from '../wire/protocol.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import { splice } from '../wire/splice.ts'
import { statusForClient, withCallersId } from './answer-id.ts'
import { type HttpClient, type HttpHeaders, nothingToAbort } from './http-client.ts'
import { type Abortable, releaseLater } from './lingering.ts'
import { BlamelessError } from './blameless-error.ts'
import { httpFailure, retryAfterOf } from './http-failure.ts'
import { isEventStream, type MessageListener, MessageReader } from './message-reader.ts'
import { type ModernLink, type ModernNotice, timeoutOf } from './modern-link.ts'
import type { ToolAnnotations } from './tool-annotations.ts'

export interface ModernHttpLinkOptions {
  readonly server: string
  readonly client: HttpClient
  readonly notice: ModernNotice
  readonly annotations: ToolAnnotations
  readonly timeoutMs: number
  readonly maxAnswerBytes: number
}

/** Streamable HTTP of 2026-07-28, as a client: one POST for each call, and hanging up is how a call is cancelled. */
export class ModernHttpLink implements ModernLink {
  readonly options: ModernHttpLinkOptions
  readonly #open = new ShortLivedMap<Call, Abortable>()

  constructor(options: ModernHttpLinkOptions) {
    this.options = options
  }

  get process(): undefined {
    return undefined
  }

  send(call: Call): void {
    const body = call.edits.length === 0 ? call.bytes : splice(call.bytes, ...call.edits)
    if (call.lacksParamHeaders !== true || call.method !== 'tools/call') this.#post(call, body, undefined)
    else this.#withParamHeaders(call, body, false)
  }

  /** The server refused the headers of a call, which has not run: it may have changed its tools. */
  sendAnew(call: Call): void {
    const body = call.edits.length === 0 ? call.bytes : splice(call.bytes, ...call.edits)
    this.#withParamHeaders(call, body, true)
  }

  #withParamHeaders(call: Call, body: Buffer, anew: boolean): void {
    const { annotations } = this.options
    const message = parseJson(body)
    const params = isRecord(message) && isRecord(message['params']) ? message['params'] : {}
    const tool = String(params['name'])
    const send = () => {
      const headers = paramHeadersFor(annotations.known(call.context, tool) ?? [], params['arguments'])
      this.#post(call, body, { headers, anew })
    }
    if (!anew && annotations.known(call.context, tool) !== undefined) {
      send()
      return
    }
    this.#open.set(call, nothingToAbort)
    void annotations.learn(call.context, envelopeOf(params)).then(() => {
      if (this.#open.has(call)) send()
    })
  }

  #post(call: Call, body: Buffer, params: ParamHeaders | undefined): void {
    const { server, client, maxAnswerBytes } = this.options
    const { context } = call
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
    if (params !== undefined) headers.push(...params.headers)
    const timeoutMs = timeoutOf(call, this.options.timeoutMs)
    // the answer may come before `send` returns: a refusal of the credentials port does
    this.#open.set(call, nothingToAbort)
    const stream = new ModernCallStream(this, call, params?.anew === false)
    const answer = new MessageReader(server, maxAnswerBytes, stream, timeoutMs)
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
    for (const [call, request] of this.#open.entries()) {
      this.#open.delete(call)
      request.abort()
      call.fail(error)
    }
  }
}

/** The headers that were worked out for a call; `anew` if that was because the server had refused others. */
interface ParamHeaders {
  readonly headers: readonly string[]
  readonly anew: boolean
}

/** What comes back for one call. */
class ModernCallStream implements MessageListener {
  readonly #link: ModernHttpLink
  readonly #call: Call
  readonly #mayRetry: boolean
  #streamed = false
  #retryAfterMs: number | undefined
  /** The call was sent again: what still comes here does not matter. */
  #superseded = false

  constructor(link: ModernHttpLink, call: Call, mayRetry: boolean) {
    this.#link = link
    this.#call = call
    this.#mayRetry = mayRetry
  }

  head(status: number, headers: HttpHeaders): void {
    this.#streamed = isEventStream(headers)
    this.#retryAfterMs = retryAfterOf(status, headers)
  }

  message(message: Buffer, scan: MessageScan, status: number): void {
    if (this.#superseded || !this.#link.isOpen(this.#call)) return
    if (scan.methodStart >= 0) {
      // servers of this era ask in their results, not on the way (2026-07-28 streamable-http, "Receiving Messages")
      if (scan.idStart < 0) this.#link.options.notice(message, scan, this.#call)
      return
    }
    if (this.#mayRetry && status === 400 && isHeaderMismatch(message, scan)) {
      this.#superseded = true
      this.#link.sendAnew(this.#call)
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
    if (this.#superseded) return
    if (status === 200) this.#fail('ended its answer before the response')
    else if (this.#link.settle(this.#call))
      this.#call.fail(httpFailure(this.#link.options.server, status, this.#retryAfterMs))
  }

  fail(error: SallyportError): void {
    if (this.#superseded) return
    if (this.#link.isOpen(this.#call)) this.#link.cancel(this.#call)
    else return
    this.#call.fail(error)
  }

  #fail(message: string): void {
    if (!this.#link.settle(this.#call)) return
    this.#call.fail(new UpstreamError('ERR_UPSTREAM_PROTOCOL', this.#link.options.server, message))
  }
}

function isHeaderMismatch(message: Buffer, scan: MessageScan): boolean {
  if (scan.errorStart < 0) return false
  const error = parseJson(message.subarray(scan.errorStart, scan.errorEnd))
  return isRecord(error) && error['code'] === RpcCode.headerMismatch
}

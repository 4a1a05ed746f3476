import type { Call } from '../call/call.ts'
import { ShortLivedMap } from '../short-lived-map.ts'
import { isRecord, parseJson } from '../wire/client-message.ts'
import { notificationMessage } from '../wire/json-rpc.ts'
import { splice } from '../wire/splice.ts'
import { type HttpClient, nothingToAbort } from './http-client.ts'
import { BlamelessError } from './blameless-error.ts'
import { CallStream, type CallStreamHost } from './legacy-call-stream.ts'
import { type Abortable, releaseLater } from './lingering.ts'
import type { Caller, LegacyTransport, LegacyTransportOwner } from './legacy-transport.ts'
import { MessageReader } from './message-reader.ts'

export interface LegacyHttpTransportOptions {
  readonly server: string
  readonly client: HttpClient
  readonly owner: LegacyTransportOwner
  readonly caller: Caller
  readonly timeoutMs: number
  readonly maxAnswerBytes: number
  /** Continues a session that another process opened. */
  readonly resume?: { readonly sessionId: string | undefined; readonly protocolVersion: string } | undefined
}

const JSON_HEADERS = ['content-type', 'application/json', 'accept', 'application/json, text/event-stream']
const STREAM_HEADERS = ['accept', 'text/event-stream']
const DEFAULT_RETRY_MS = 1_000
const SHORTEST_RETRY_MS = 100
const LONGEST_RETRY_MS = 30_000
const INITIALIZED = '"notifications/initialized"'
/** A server that does not answer notifications gets its calls all the same. */
const LONGEST_HOLD_MS = 1_000

/** Streamable HTTP of 2025-03-26 to 2025-11-25, as a client. */
export class LegacyHttpTransport implements LegacyTransport, CallStreamHost {
  readonly speaksUnasked = false
  readonly #options: LegacyHttpTransportOptions
  readonly #open = new ShortLivedMap<Call, Abortable>()
  #sessionId: string | undefined
  #protocolVersion: string | undefined
  /** Calls that wait until the server knows that the session is open. */
  #held: Call[] | undefined
  #closed = false
  #lost = false
  #listening = false
  /** The server has had a stream for this session, so "not found" is about the session, not about streams. */
  #hasListened = false
  #listeningRequest: Abortable | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: LegacyHttpTransportOptions) {
    this.#options = options
    this.#sessionId = options.resume?.sessionId
    this.#protocolVersion = options.resume?.protocolVersion
  }

  initialize(call: Call): void {
    this.#sessionId = undefined
    this.#protocolVersion = undefined
    this.#post(call)
  }

  send(call: Call): void {
    if (this.#held === undefined) this.#post(call)
    else this.#held.push(call)
  }

  cancel(call: Call, reason: string | undefined): void {
    const held = this.#held?.indexOf(call) ?? -1
    if (held >= 0) this.#held?.splice(held, 1)
    const request = this.#open.get(call)
    if (request === undefined) return
    this.#open.delete(call)
    this.tellCancelled(call, reason)
    request.abort()
  }

  tellCancelled(call: Call, reason: string | undefined): void {
    // "initialize" is never cancelled (2025-11-25 basic/utilities/cancellation)
    if (call.method === 'initialize') return
    const requestId = parseJson(Buffer.from(call.idText))
    const params = { requestId, ...(reason !== undefined && { reason }) }
    this.notify(notificationMessage('notifications/cancelled', params))
  }

  notify(message: Buffer): void {
    if (message.includes(INITIALIZED)) this.#tellInitialized(message)
    else this.#deliver(message)
  }

  /** What is sent meanwhile would take another connection, and could arrive before: a server may offer less until it knows. */
  #tellInitialized(message: Buffer): void {
    this.#held ??= []
    const release = () => {
      clearTimeout(timer)
      const held = this.#held ?? []
      this.#held = undefined
      for (const call of held) this.#post(call)
    }
    const timer = setTimeout(release, LONGEST_HOLD_MS)
    timer.unref()
    this.#deliver(message, release)
  }

  respond(message: Buffer): void {
    this.#deliver(message)
  }

  listen(): void {
    if (this.#listening || this.#closed) return
    this.#listening = true
    this.#listen(undefined, DEFAULT_RETRY_MS)
  }

  close(keepSession = false): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#timer)
    this.#listeningRequest?.abort()
    // what is open in a session that was lost ends by itself: with an answer, or with the news that it has to be sent again
    if (this.#lost) return
    const error = new BlamelessError('ERR_UPSTREAM_UNAVAILABLE', this.server, 'the session was closed')
    for (const [call, request] of this.#open.entries()) {
      this.#open.delete(call)
      request.abort()
      call.fail(error)
    }
    for (const call of this.#held?.splice(0) ?? []) call.fail(error)
    if (this.#sessionId === undefined || keepSession) return
    const { client, caller } = this.#options
    const ignore = { head() {}, data() {}, end() {}, fail() {} }
    client.send(
      {
        context: caller.context,
        method: 'DELETE',
        headers: this.#headers(STREAM_HEADERS),
        timeoutMs: 5_000,
        aside: true,
      },
      ignore,
    )
  }

  get server(): string {
    return this.#options.server
  }

  get owner(): LegacyTransportOwner {
    return this.#options.owner
  }

  sessionLost(call: Call | undefined): void {
    this.#lost = true
    this.#options.owner.sessionLost(call)
  }

  isOpen(call: Call): boolean {
    return this.#open.has(call)
  }

  settle(call: Call): boolean {
    return this.#open.delete(call)
  }

  abort(call: Call): void {
    this.#open.get(call)?.abort()
  }

  release(call: Call): void {
    releaseLater(this.#open.get(call))
  }

  initialized(sessionId: string | undefined): void {
    this.#sessionId = sessionId
    if (sessionId !== undefined) this.#options.owner.sessionOpened(sessionId)
  }

  negotiated(response: Buffer): void {
    this.#protocolVersion = negotiatedVersion(response)
  }

  resume(stream: CallStream, lastEventId: string, afterMs: number): void {
    const timer = setTimeout(() => {
      const headers = [...this.#headers(STREAM_HEADERS), 'last-event-id', lastEventId]
      this.#exchange(stream, 'GET', headers, undefined)
    }, within(afterMs))
    this.#open.set(stream.call, { abort: () => clearTimeout(timer) })
  }

  #post(call: Call): void {
    const body = call.edits.length === 0 ? call.bytes : splice(call.bytes, ...call.edits)
    const headers = this.#headers(JSON_HEADERS)
    if (call.headers.length > 0) headers.push(...call.headers)
    this.#exchange(new CallStream(this, call, this.#sessionId), 'POST', headers, body)
  }

  #exchange(
    stream: CallStream,
    method: 'POST' | 'GET',
    headers: readonly string[],
    body: Buffer | undefined,
  ): void {
    const { server, client, timeoutMs, maxAnswerBytes } = this.#options
    const { call } = stream
    // the answer may come before `send` returns: a refusal of the credentials port does
    this.#open.set(call, nothingToAbort)
    const answer = new MessageReader(server, maxAnswerBytes, stream, timeoutMs)
    const aside = call.method === 'initialize' || call.method === 'ping'
    const request = client.send({ context: call.context, method, headers, body, timeoutMs, aside }, answer)
    if (this.#open.get(call) === nothingToAbort) this.#open.set(call, request)
  }

  /** Sends what has no answer. A failure means that the session is gone or the server is away: the next call will show. */
  #deliver(message: Buffer, delivered: () => void = () => {}): void {
    const { client, caller, timeoutMs } = this.#options
    const { context } = caller
    let status = 0
    client.send(
      {
        context,
        method: 'POST',
        headers: this.#headers(JSON_HEADERS),
        body: message,
        timeoutMs,
        aside: true,
      },
      {
        head: (received) => void (status = received),
        data() {},
        end: () => {
          delivered()
          if (status === 404 && this.#sessionId !== undefined && !this.#closed) this.sessionLost(undefined)
        },
        fail: delivered,
      },
    )
  }

  #listen(lastEventId: string | undefined, retryMs: number): void {
    const { client, caller, server, owner, maxAnswerBytes } = this.#options
    let latest = lastEventId
    let delayMs = retryMs
    let refused = false
    const again = (worked: boolean) => {
      if (this.#closed || !this.#listening || refused) return
      const nextMs = worked ? delayMs : Math.min(delayMs * 2, LONGEST_RETRY_MS)
      this.#timer = setTimeout(() => this.#listen(latest, nextMs), within(delayMs))
      this.#timer.unref()
    }
    const answer = new MessageReader(server, maxAnswerBytes, {
      head: (status) => {
        if (status === 200) this.#hasListened = true
        // 405: this server has nothing to say unasked
        refused = status >= 400 && status < 500
        if (refused) this.#listening = false
        if (status === 404 && this.#hasListened && !this.#closed) this.sessionLost(undefined)
      },
      position: (event) => {
        latest = event.id ?? latest
        delayMs = event.retryMs ?? DEFAULT_RETRY_MS
      },
      message: (message, scan) => {
        if (scan.methodStart >= 0) owner.fromServer(message, scan, undefined)
      },
      end: (status) => again(status === 200),
      fail: () => again(false),
    })
    const headers = this.#headers(STREAM_HEADERS)
    if (latest !== undefined) headers.push('last-event-id', latest)
    this.#listeningRequest = client.send(
      { context: caller.context, method: 'GET', headers, timeoutMs: 0 },
      answer,
    )
  }

  #headers(base: readonly string[]): string[] {
    const headers = [...base]
    if (this.#protocolVersion !== undefined) headers.push('mcp-protocol-version', this.#protocolVersion)
    if (this.#sessionId !== undefined) headers.push('mcp-session-id', this.#sessionId)
    return headers
  }
}

/** What a server asks for as time to wait, but for what would keep the gateway busy or the caller waiting for ever. */
function within(retryMs: number): number {
  return Math.min(Math.max(retryMs, SHORTEST_RETRY_MS), LONGEST_RETRY_MS)
}

function negotiatedVersion(response: Buffer): string | undefined {
  const value = parseJson(response)
  const result = isRecord(value) ? value['result'] : undefined
  const version = isRecord(result) ? result['protocolVersion'] : undefined
  // the header exists since 2025-06-18; older servers would not know it
  return typeof version === 'string' && version >= '2025-06-18' ? version : undefined
}

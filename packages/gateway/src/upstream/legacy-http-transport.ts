import { UpstreamError } from '@sallyport/core'
import type { Call } from '../call/call.ts'
import { isRecord, parseJson } from '../wire/client-message.ts'
import { notificationMessage } from '../wire/json-rpc.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import { splice } from '../wire/splice.ts'
import { withCallersId } from './answer-id.ts'
import { type Abort, type HttpClient, oneHeader } from './http-client.ts'
import type { LegacyTransport, LegacyTransportOwner } from './legacy-transport.ts'
import { type MessageListener, readMessages } from './message-reader.ts'

export interface LegacyHttpTransportOptions {
  readonly server: string
  readonly client: HttpClient
  readonly owner: LegacyTransportOwner
  /** Whose credentials requests without a call of their own carry. */
  readonly context: Call['context']
  readonly timeoutMs: number
  readonly maxAnswerBytes: number
  /** Continues a session that another process opened. */
  readonly resume?: { readonly sessionId: string | undefined; readonly protocolVersion: string } | undefined
}

const JSON_HEADERS = ['content-type', 'application/json', 'accept', 'application/json, text/event-stream']
const STREAM_HEADERS = ['accept', 'text/event-stream']
const DEFAULT_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 30_000
/** Reconnections to one stream that bring nothing new. */
const MAX_IDLE_RESUMES = 5

/** Streamable HTTP of 2025-03-26 to 2025-11-25, as a client. */
export class LegacyHttpTransport implements LegacyTransport {
  readonly #options: LegacyHttpTransportOptions
  readonly #open = new Map<Call, Abort>()
  #sessionId: string | undefined
  #protocolVersion: string | undefined
  #closed = false
  #listening = false
  #abortListening: Abort | undefined
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
    this.#post(call)
  }

  cancel(call: Call, reason: string | undefined): void {
    const abort = this.#open.get(call)
    if (abort === undefined) return
    this.#open.delete(call)
    const requestId = parseJson(Buffer.from(call.idText))
    this.notify(
      notificationMessage('notifications/cancelled', { requestId, ...(reason !== undefined && { reason }) }),
    )
    abort()
  }

  notify(message: Buffer): void {
    this.#deliver(message)
  }

  respond(message: Buffer): void {
    this.#deliver(message)
  }

  listen(): void {
    if (this.#listening || this.#closed) return
    this.#listening = true
    this.#listen(undefined, DEFAULT_RETRY_MS)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#timer)
    this.#abortListening?.()
    for (const abort of this.#open.values()) abort()
    this.#open.clear()
    if (this.#sessionId === undefined) return
    const { client, context } = this.#options
    const ignore = { head() {}, data() {}, end() {}, fail() {} }
    client.send(
      { context, method: 'DELETE', headers: this.#headers(STREAM_HEADERS), timeoutMs: 5_000 },
      ignore,
    )
  }

  #post(call: Call): void {
    const { server, client, timeoutMs, maxAnswerBytes } = this.#options
    const sessionId = this.#sessionId
    const body = call.edits.length === 0 ? call.bytes : splice(call.bytes, ...call.edits)
    const headers = [...this.#headers(JSON_HEADERS), ...call.headers]
    const listener = this.#callListener(call, sessionId, 0)
    const answer = readMessages(server, maxAnswerBytes, {
      ...listener,
      head: (_status, received) => {
        if (call.method !== 'initialize') return
        const id = oneHeader(received, 'mcp-session-id')
        this.#sessionId = id
        if (id !== undefined) this.#options.owner.sessionOpened(id)
      },
    })
    this.#open.set(
      call,
      client.send({ context: call.context, method: 'POST', headers, body, timeoutMs }, answer),
    )
  }

  /** Handles what comes on a stream that belongs to one call, until the response has come. */
  #callListener(call: Call, sessionId: string | undefined, idleResumes: number): MessageListener {
    const { server, owner } = this.#options
    let lastEventId: string | undefined
    let retryMs: number | undefined
    let progress = false
    const lost = (status: number) => status === 404 && sessionId !== undefined && call.method !== 'initialize'
    const fail = (message: string) =>
      this.#finish(call, () => call.fail(new UpstreamError('ERR_UPSTREAM_PROTOCOL', server, message)))
    return {
      position: (event) => {
        lastEventId = event.id ?? lastEventId
        retryMs = event.retryMs ?? retryMs
      },
      message: (message, scan, status) => {
        if (lost(status)) {
          this.#finish(call, () => owner.sessionLost(call))
          return
        }
        progress = true
        if (scan.methodStart >= 0) owner.fromServer(message, scan, call)
        else this.#answered(call, message, scan, status)
      },
      end: (status, body) => {
        if (!this.#open.has(call)) return
        if (lost(status)) this.#finish(call, () => owner.sessionLost(call))
        else if (status !== 200) fail(`answered HTTP ${status}${body === '' ? '' : ` (${printable(body)})`}`)
        else if (lastEventId === undefined) fail('ended its answer before the response')
        else if (!progress && idleResumes >= MAX_IDLE_RESUMES) fail('keeps ending the stream of this call')
        else {
          call.pause(retryMs)
          this.#resume(
            call,
            sessionId,
            lastEventId,
            retryMs ?? DEFAULT_RETRY_MS,
            progress ? 0 : idleResumes + 1,
          )
        }
      },
      fail: (error) => {
        // a connection that broke after an event with an id can be taken up again (2025-11-25 transports)
        const broken = 'code' in error && error.code === 'ERR_UPSTREAM_UNAVAILABLE'
        if (broken && lastEventId !== undefined && idleResumes < MAX_IDLE_RESUMES && this.#open.has(call)) {
          this.#resume(
            call,
            sessionId,
            lastEventId,
            retryMs ?? DEFAULT_RETRY_MS,
            progress ? 0 : idleResumes + 1,
          )
          return
        }
        const abort = this.#open.get(call)
        this.#finish(call, () => call.fail(error))
        abort?.()
      },
    }
  }

  #resume(
    call: Call,
    sessionId: string | undefined,
    lastEventId: string,
    afterMs: number,
    idleResumes: number,
  ): void {
    const { client, server, timeoutMs, maxAnswerBytes } = this.#options
    const timer = setTimeout(
      () => {
        const headers = [...this.#headers(STREAM_HEADERS), 'last-event-id', lastEventId]
        const answer = readMessages(server, maxAnswerBytes, this.#callListener(call, sessionId, idleResumes))
        this.#open.set(
          call,
          client.send({ context: call.context, method: 'GET', headers, timeoutMs }, answer),
        )
      },
      Math.min(afterMs, LONGEST_RETRY_MS),
    )
    this.#open.set(call, () => clearTimeout(timer))
  }

  #answered(call: Call, message: Buffer, scan: MessageScan, status: number): void {
    const response = withCallersId(message, scan, call.idText)
    if (response === undefined) {
      const error = new UpstreamError(
        'ERR_UPSTREAM_PROTOCOL',
        this.#options.server,
        'answered with the id of another request',
      )
      this.#finish(call, () => call.fail(error))
      return
    }
    if (call.method === 'initialize') this.#protocolVersion = negotiatedVersion(message)
    this.#finish(call, () => call.final(response, scan, status))
  }

  #finish(call: Call, tell: () => void): void {
    if (this.#open.delete(call)) tell()
  }

  /** Sends what has no answer. A failure means that the session is gone or the server is away: the next call will show. */
  #deliver(message: Buffer): void {
    const { client, context, owner, timeoutMs } = this.#options
    let status = 0
    client.send(
      { context, method: 'POST', headers: this.#headers(JSON_HEADERS), body: message, timeoutMs },
      {
        head: (received) => void (status = received),
        data() {},
        end: () => {
          if (status === 404 && this.#sessionId !== undefined && !this.#closed) owner.sessionLost(undefined)
        },
        fail() {},
      },
    )
  }

  #listen(lastEventId: string | undefined, retryMs: number): void {
    const { client, context, server, owner, maxAnswerBytes } = this.#options
    let latest = lastEventId
    let delayMs = retryMs
    let refused = false
    const again = (worked: boolean) => {
      if (this.#closed || !this.#listening || refused) return
      const nextMs = worked ? delayMs : Math.min(delayMs * 2, LONGEST_RETRY_MS)
      this.#timer = setTimeout(() => this.#listen(latest, nextMs), delayMs)
      this.#timer.unref()
    }
    const answer = readMessages(server, maxAnswerBytes, {
      head: (status) => {
        // 405: this server has nothing to say unasked; 404 is dealt with when a call meets it
        refused = status >= 400 && status < 500
        if (refused) this.#listening = false
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
    this.#abortListening = client.send({ context, method: 'GET', headers, timeoutMs: 0 }, answer)
  }

  #headers(base: readonly string[]): string[] {
    const headers = [...base]
    if (this.#protocolVersion !== undefined) headers.push('mcp-protocol-version', this.#protocolVersion)
    if (this.#sessionId !== undefined) headers.push('mcp-session-id', this.#sessionId)
    return headers
  }
}

function negotiatedVersion(response: Buffer): string | undefined {
  const value = parseJson(response)
  const result = isRecord(value) ? value['result'] : undefined
  const version = isRecord(result) ? result['protocolVersion'] : undefined
  // the header exists since 2025-06-18; older servers would not know it
  return typeof version === 'string' && version >= '2025-06-18' ? version : undefined
}

/** What a server wrote in an error page, fit for a log line. */
export function printable(text: string): string {
  return text
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, 120)
}

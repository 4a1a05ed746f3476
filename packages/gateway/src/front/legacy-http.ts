import { GatewayError, type RequestContext } from '@sallyport/core'
import { BatchReply } from '../call/batch-reply.ts'
import type { Reply } from '../call/reply.ts'
import type { GatewayCore } from '../gateway-core.ts'
import type { LegacySession } from '../legacy/legacy-session.ts'
import { idBytes, isFault, type MessageFault, type RpcMessage } from '../wire/client-message.ts'
import { errorOnWire } from '../wire/error-on-wire.ts'
import { errorMessage } from '../wire/json-rpc.ts'
import { BATCH_VERSION, LEGACY_VERSIONS, RpcCode } from '../wire/protocol.ts'
import { type Accepted, acceptedBy } from './accept.ts'
import { guard } from './guard.ts'
import { headerOf, type HttpExchange, JSON_TYPE } from './http-exchange.ts'
import { type Admission, senderOf } from './admission.ts'
import { HttpReply, SSE_HEADERS } from './http-reply.ts'
import { attend } from './stream-life.ts'
import type { StreamQuota } from './stream-quota.ts'
import { traceHeaders, traceOf } from './trace.ts'

const SESSION_ID = 'mcp-session-id'

/** Streamable HTTP of 2025-03-26 to 2025-11-25: sessions, resumable streams, and batches in the revision that had them. */
export class LegacyHttp {
  readonly #core: GatewayCore
  readonly #quota: StreamQuota

  constructor(core: GatewayCore, quota: StreamQuota) {
    this.#core = core
    this.#quota = quota
  }

  post(exchange: HttpExchange, admission: Admission, message: RpcMessage): void {
    const accepts = acceptedBy(exchange)
    if (accepts === undefined) {
      const text = 'the Accept header must list application/json or text/event-stream, best both'
      this.#refuse(exchange, admission, 406, text, message)
    } else if (message.kind === 'request' && message.method === 'initialize') {
      this.#initialize(exchange, admission, message, accepts)
    } else {
      const session = this.#session(exchange, admission, message)
      if (!(session instanceof Promise)) this.#inSession(exchange, admission, session, message, accepts)
      else
        void session.then((it) => {
          guard(this.#core, exchange, () => this.#inSession(exchange, admission, it, message, accepts))
        })
    }
  }

  #inSession(
    exchange: HttpExchange,
    admission: Admission,
    session: LegacySession | undefined,
    message: RpcMessage,
    accepts: Accepted,
  ): void {
    if (session === undefined) return
    if (message.kind === 'request') {
      this.#start(exchange, session, message, this.#reply(exchange, admission, session, accepts))
    } else this.#oneWay(exchange, admission, session, message)
  }

  batch(
    exchange: HttpExchange,
    admission: Admission,
    messages: readonly (RpcMessage | MessageFault)[],
  ): void {
    this.#withSession(exchange, admission, undefined, (session) => {
      if (session.protocolVersion !== BATCH_VERSION) {
        this.#refuse(
          exchange,
          admission,
          400,
          `batches exist in protocol version ${BATCH_VERSION} only`,
          undefined,
        )
        return
      }
      for (const message of messages)
        if (!isFault(message) && message.kind !== 'request') this.#take(session, message)
      const requests = messages.filter((message) => isFault(message) || message.kind === 'request')
      if (requests.length === 0) {
        exchange.respond(202, admission.headers)
        return
      }
      const reply = this.#reply(exchange, admission, session, acceptedBy(exchange) ?? 'json')
      const batch = new BatchReply(reply, requests.length)
      for (const request of requests) {
        const part = batch.part(isFault(request) ? request.idText : idBytes(request))
        if (isFault(request)) {
          this.#core.audit.invalid(senderOf(exchange, admission), 0, request.code)
          part.final(errorMessage(request.idText, { code: request.code, message: request.message }), 200)
        } else if (request.method === 'initialize') {
          // it would open a session inside a session (2025-03-26 basic/lifecycle, "Initialization")
          const error = { code: RpcCode.invalidRequest, message: 'initialize cannot be part of a batch' }
          this.#core.audit.message(session.context, request, 'refused', error.code)
          part.final(errorMessage(idBytes(request), error), 200)
        } else this.#start(exchange, session, request, part)
      }
    })
  }

  /** The stream for what servers say unasked, or, with `Last-Event-ID`, the rest of a stream that broke off. */
  get(exchange: HttpExchange, admission: Admission): void {
    if (headerOf(exchange, SESSION_ID) === undefined) {
      exchange.respond(405, { ...admission.headers, allow: 'POST' })
      return
    }
    const accepts = acceptedBy(exchange)
    if (accepts !== 'both' && accepts !== 'sse') {
      this.#refuse(exchange, admission, 406, 'the Accept header must list text/event-stream', undefined)
      return
    }
    this.#withSession(exchange, admission, undefined, (session) => {
      const lastEventId = headerOf(exchange, 'last-event-id')
      const found = lastEventId === undefined ? undefined : session.streams.find(lastEventId)
      if (found === 'gone') {
        this.#answerLost(exchange, admission)
        return
      }
      const release = this.#quota.take(admission.principal)
      if (release === undefined) {
        const limit = this.#core.limits.streamsPerPrincipal
        this.#refuse(exchange, admission, 429, `you already have ${limit} open streams`, undefined)
        return
      }
      const stream = found?.stream ?? session.unasked()
      const connection = exchange.stream(200, { ...admission.headers, ...SSE_HEADERS })
      const leave = attend({
        principal: admission.principal,
        now: () => this.#core.trail.now(),
        keepAlive: () => stream.keepAlive(),
        expire: () => {
          stream.detach(own)
          own.end()
        },
      })
      const end = () => {
        leave()
        release()
      }
      exchange.client = {
        gone() {
          end()
          stream.detach(own)
        },
      }
      const own = {
        write: (chunk: Uint8Array) => connection.write(chunk),
        end: () => {
          end()
          connection.end()
        },
        cut: () => {
          end()
          connection.cut()
        },
        get bufferedBytes() {
          return connection.bufferedBytes
        },
      }
      stream.attach(own, found?.seen)
      session.listen()
    })
  }

  /** The call may have run, here or in a process that is gone: only the client knows whether it may run again. */
  #answerLost(exchange: HttpExchange, admission: Admission): void {
    const text = 'the answer that was to come on this stream is not kept here, or not any more'
    const lost = new GatewayError('ERR_ANSWER_LOST', text, { data: { retrySafe: false } })
    const { status, ...shown } = errorOnWire(lost)
    this.#core.audit.invalid(senderOf(exchange, admission), 0, lost.code)
    exchange.respond(status, { ...admission.headers, ...JSON_TYPE }, errorMessage(undefined, shown))
  }

  delete(exchange: HttpExchange, admission: Admission): void {
    this.#withSession(exchange, admission, undefined, (session) => {
      this.#core.sessions.end(session)
      exchange.respond(200, admission.headers)
    })
  }

  #initialize(exchange: HttpExchange, admission: Admission, message: RpcMessage, accepts: Accepted): void {
    let opened: LegacySession | undefined
    const reply = new HttpReply(exchange, {
      admission,
      get headers() {
        return opened === undefined ? admission.headers : { ...admission.headers, [SESSION_ID]: opened.id }
      },
      accepts,
      session: undefined,
      maxBufferedBytes: this.#core.limits.bufferedBytes,
    })
    this.#core.openSession({
      principal: admission.principal,
      endpoint: admission.endpoint,
      remoteAddress: exchange.remoteAddress,
      message,
      reply,
      trace: traceOf(message, exchange),
      onOpen: (session) => {
        opened = session
      },
    })
  }

  #start(exchange: HttpExchange, session: LegacySession, message: RpcMessage, reply: Reply): void {
    const trace = traceOf(message, exchange)
    const context: RequestContext = trace === undefined ? session.context : { ...session.context, trace }
    const flow = this.#core.flow(message, context, reply, traceHeaders(trace))
    this.#core.legacyRequest(session, flow)
  }

  #reply(exchange: HttpExchange, admission: Admission, session: LegacySession, accepts: Accepted): HttpReply {
    return new HttpReply(exchange, {
      admission,
      headers: admission.headers,
      accepts,
      session,
      maxBufferedBytes: this.#core.limits.bufferedBytes,
    })
  }

  #oneWay(exchange: HttpExchange, admission: Admission, session: LegacySession, message: RpcMessage): void {
    if (this.#take(session, message)) exchange.respond(202, admission.headers)
    else this.#respond(exchange, admission, 400, 'no server waits for an answer with this id')
  }

  #take(session: LegacySession, message: RpcMessage): boolean {
    const taken = message.kind === 'notification' || session.respond(message)
    if (message.kind === 'notification') session.notify(message)
    this.#core.audit.message(session.context, message, taken ? 'ok' : 'refused')
    return taken
  }

  #withSession(
    exchange: HttpExchange,
    admission: Admission,
    message: RpcMessage | undefined,
    use: (session: LegacySession) => void,
  ): void {
    const found = (session: LegacySession | undefined) => {
      if (session !== undefined) use(session)
    }
    const session = this.#session(exchange, admission, message)
    if (!(session instanceof Promise)) found(session)
    else void session.then((it) => guard(this.#core, exchange, () => found(it)))
  }

  /** The session that the request names. Where there is none, the request has been answered. Never rejects. */
  #session(
    exchange: HttpExchange,
    admission: Admission,
    message: RpcMessage | undefined,
  ): LegacySession | undefined | Promise<LegacySession | undefined> {
    const version = headerOf(exchange, 'mcp-protocol-version')
    if (version !== undefined && !LEGACY_VERSIONS.includes(version)) {
      const text = `Unsupported protocol version: ${printable(version)} (supported: ${LEGACY_VERSIONS.join(', ')})`
      this.#refuse(exchange, admission, 400, text, message)
      return undefined
    }
    const id = headerOf(exchange, SESSION_ID)
    if (id === undefined) {
      const text = 'the Mcp-Session-Id header is missing: send initialize first'
      this.#refuse(exchange, admission, 400, text, message)
      return undefined
    }
    let session: LegacySession | undefined | Promise<LegacySession | undefined>
    try {
      session = this.#core.sessions.find(id, admission.principal, admission.endpoint)
    } catch (cause) {
      return this.#storeFailed(exchange, admission, message, cause)
    }
    if (session instanceof Promise) {
      return session.then(
        (it) => it ?? this.#noSession(exchange, admission, message),
        (cause: unknown) => this.#storeFailed(exchange, admission, message, cause),
      )
    }
    return session ?? this.#noSession(exchange, admission, message)
  }

  #noSession(exchange: HttpExchange, admission: Admission, message: RpcMessage | undefined): undefined {
    this.#refuse(exchange, admission, 404, 'there is no such session', message)
  }

  #storeFailed(
    exchange: HttpExchange,
    admission: Admission,
    message: RpcMessage | undefined,
    cause: unknown,
  ): undefined {
    this.#core.logger.error('the session store failed', { operation: 'get', cause: String(cause) })
    this.#refuse(exchange, admission, 503, 'sessions are not available now', message)
  }

  #refuse(
    exchange: HttpExchange,
    admission: Admission,
    status: number,
    text: string,
    message: RpcMessage | undefined,
  ): void {
    const context: RequestContext = {
      principal: admission.principal,
      era: 'legacy',
      protocolVersion: '',
      endpoint: admission.endpoint,
    }
    if (message === undefined) this.#core.audit.invalid(senderOf(exchange, admission), 0, status)
    else this.#core.audit.message(context, message, 'refused', status)
    this.#respond(exchange, admission, status, text, message)
  }

  #respond(
    exchange: HttpExchange,
    admission: Admission,
    status: number,
    text: string,
    message?: RpcMessage,
  ): void {
    const id = message?.kind === 'request' ? idBytes(message) : undefined
    const body = errorMessage(id, { code: RpcCode.invalidRequest, message: text })
    const later = status === 429 || status === 503 ? { 'retry-after': '1' } : {}
    exchange.respond(status, { ...admission.headers, ...JSON_TYPE, ...later }, body)
  }
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '').slice(0, 40)
}

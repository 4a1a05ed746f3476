import { GatewayError, type RequestContext } from '@sallyport/core'
import type { Flow } from '../call/flow.ts'
import type { GatewayCore } from '../gateway-core.ts'
import { isRecord, type RpcMessage } from '../wire/client-message.ts'
import { META_VERSION, MODERN_VERSIONS, RpcCode } from '../wire/protocol.ts'
import { acceptedBy } from './accept.ts'
import type { HttpExchange } from './http-exchange.ts'
import type { Admission } from './admission.ts'
import { HttpReply } from './http-reply.ts'
import { checkEnvelope, checkHeaders, forwardedHeaders } from './modern-headers.ts'
import { attend } from './stream-life.ts'
import type { StreamQuota } from './stream-quota.ts'
import { traceHeaders, traceOf } from './trace.ts'

/** Streamable HTTP of 2026-07-28: every POST stands alone. */
export class ModernHttp {
  readonly #core: GatewayCore
  readonly #quota: StreamQuota

  constructor(core: GatewayCore, quota: StreamQuota) {
    this.#core = core
    this.#quota = quota
  }

  post(exchange: HttpExchange, admission: Admission, message: RpcMessage): void {
    const accepts = acceptedBy(exchange)
    const context = this.#context(exchange, admission, message)
    if (message.kind !== 'request') {
      const accepted = message.kind === 'notification'
      this.#core.audit.message(context, message, accepted ? 'ok' : 'refused')
      exchange.respond(accepted ? 202 : 400, admission.headers)
      return
    }
    const listening = message.method === 'subscriptions/listen'
    const reply = new HttpReply(exchange, {
      admission,
      headers: admission.headers,
      accepts: accepts ?? 'json',
      session: undefined,
      maxBufferedBytes: this.#core.limits.bufferedBytes,
    })
    const headers = [...forwardedHeaders(exchange), ...traceHeaders(context.trace)]
    const flow = this.#core.flow(message, context, reply, headers)
    // in this era hanging up is how a call is withdrawn
    reply.caller = flow
    const fault =
      checkEnvelope(message) ?? checkHeaders(exchange, message) ?? unsupported(context.protocolVersion)
    if (fault !== undefined) flow.reject(400, fault)
    else if (accepts === undefined) flow.reject(406, { code: RpcCode.invalidRequest, message: notAcceptable })
    else if (listening) this.#listen(flow, reply)
    else this.#core.modernRequest(flow)
  }

  #listen(flow: Flow, reply: HttpReply): void {
    const { principal } = flow.context
    const release = this.#quota.take(principal)
    if (release === undefined) {
      const limit = this.#core.limits.streamsPerPrincipal
      flow.reject(429, { code: RpcCode.invalidRequest, message: `you already have ${limit} open streams` })
      return
    }
    const leave = attend({
      principal,
      now: () => this.#core.trail.now(),
      keepAlive: () => reply.keepAlive(),
      expire: () => flow.fail(new GatewayError('ERR_UNAUTHENTICATED', 'the proof of identity has expired')),
    })
    flow.keptBy({
      settled: () => {
        release()
        leave()
      },
    })
    this.#core.modernRequest(flow)
  }

  #context(exchange: HttpExchange, admission: Admission, message: RpcMessage): RequestContext {
    const meta = message.params['_meta']
    const version = isRecord(meta) ? meta[META_VERSION] : undefined
    const trace = traceOf(message, exchange)
    const { endpoint, principal } = admission
    const { remoteAddress } = exchange
    return {
      principal,
      era: 'modern',
      protocolVersion: typeof version === 'string' ? version : '',
      endpoint,
      remoteAddress,
      trace,
    }
  }
}

const notAcceptable = 'the Accept header must list application/json or text/event-stream, best both'

export function unsupported(version: string): { code: number; message: string; data: unknown } | undefined {
  if (MODERN_VERSIONS.includes(version)) return undefined
  return {
    code: RpcCode.unsupportedProtocolVersion,
    message: 'Unsupported protocol version',
    data: { supported: MODERN_VERSIONS, requested: version },
  }
}

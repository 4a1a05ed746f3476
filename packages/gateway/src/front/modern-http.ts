import type { RequestContext } from '@sallyport/core'
import type { GatewayCore } from '../gateway-core.ts'
import { isRecord, type RpcMessage } from '../wire/client-message.ts'
import { META_VERSION, MODERN_VERSIONS, RpcCode } from '../wire/protocol.ts'
import { acceptedBy } from './accept.ts'
import type { HttpExchange } from './http-exchange.ts'
import type { Admission } from './http-front.ts'
import { HttpReply } from './http-reply.ts'
import { checkEnvelope, checkHeaders, forwardedHeaders } from './modern-headers.ts'
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
      this.#core.auditMessage(context, message, accepted ? 'ok' : 'refused')
      exchange.respond(accepted ? 202 : 400, admission.headers)
      return
    }
    const listening = message.method === 'subscriptions/listen'
    const release = listening ? this.#quota.take(admission.principal) : undefined
    const reply = new HttpReply(exchange, {
      headers: admission.headers,
      accepts: accepts ?? 'json',
      maxBufferedBytes: this.#core.limits.bufferedBytes,
      onGone: () => flow.cancel('the client hung up'),
    })
    const headers = [...forwardedHeaders(exchange), ...traceHeaders(context.trace)]
    const flow = this.#core.flow(message, context, reply, headers)
    const fault =
      checkEnvelope(message) ?? checkHeaders(exchange, message) ?? unsupported(context.protocolVersion)
    if (fault !== undefined) flow.reject(400, fault)
    else if (accepts === undefined) flow.reject(406, { code: RpcCode.invalidRequest, message: notAcceptable })
    else if (listening && release === undefined) {
      const limit = this.#core.limits.streamsPerPrincipal
      flow.reject(429, { code: RpcCode.invalidRequest, message: `you already have ${limit} open streams` })
    } else {
      const timer = listening ? this.#keepAlive(reply) : undefined
      flow.onEnd = () => {
        release?.()
        clearInterval(timer)
      }
      this.#core.modernRequest(flow)
    }
  }

  #keepAlive(reply: HttpReply): NodeJS.Timeout {
    const timer = setInterval(() => reply.keepAlive(), 25_000)
    timer.unref()
    return timer
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
      ...(endpoint !== undefined && { endpoint }),
      ...(remoteAddress !== undefined && { remoteAddress }),
      ...(trace !== undefined && { trace }),
    }
  }
}

const notAcceptable = 'the Accept header must list application/json and text/event-stream'

export function unsupported(version: string): { code: number; message: string; data: unknown } | undefined {
  if (MODERN_VERSIONS.includes(version)) return undefined
  return {
    code: RpcCode.unsupportedProtocolVersion,
    message: 'Unsupported protocol version',
    data: { supported: MODERN_VERSIONS, requested: version },
  }
}

import type { GatewayCore } from '../gateway-core.ts'
import { errorOnWire } from '../wire/error-on-wire.ts'
import { errorMessage } from '../wire/json-rpc.ts'
import type { HttpExchange } from './http-exchange.ts'

/** What a port, or a mistake of ours, throws while a request is handled ends that one request and never the process. */
export function failed(core: GatewayCore, exchange: HttpExchange, cause: unknown): void {
  core.logger.error('a request failed', { cause: String(cause) })
  const { status, ...shown } = errorOnWire(cause)
  core.audit.invalid({ remoteAddress: exchange.remoteAddress }, 0, status)
  exchange.respond(status, { 'content-type': 'application/json' }, errorMessage(undefined, shown))
}

/** For steps that come later than the rest; those on the ordinary way have a `try` of their own, which needs no closure. */
export function guard(core: GatewayCore, exchange: HttpExchange, step: () => void): void {
  try {
    step()
  } catch (cause) {
    failed(core, exchange, cause)
  }
}

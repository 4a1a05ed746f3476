import type { GatewayCore } from '../gateway-core.ts'
import { errorOnWire } from '../wire/error-on-wire.ts'
import { errorMessage } from '../wire/json-rpc.ts'
import type { HttpExchange } from './http-exchange.ts'

/** Runs a step of a request: what a port, or a mistake of ours, throws there ends one request and never the process. */
export function guard(core: GatewayCore, exchange: HttpExchange, step: () => void): void {
  try {
    step()
  } catch (cause) {
    core.logger.error('a request failed', { cause: String(cause) })
    const { status, ...shown } = errorOnWire(cause)
    core.audit.invalid({ remoteAddress: exchange.remoteAddress }, 0, status)
    exchange.respond(status, { 'content-type': 'application/json' }, errorMessage(undefined, shown))
  }
}

import type { Principal } from '@sallyport/core'
import type { Sender } from '../call/message-audit.ts'
import type { HttpExchange } from './http-exchange.ts'

/** A request that has been let in. */
export interface Admission {
  readonly principal: Principal
  /** The one server that was called; absent on the aggregated endpoint. */
  readonly endpoint: string | undefined
  /** Headers that every answer carries (CORS). */
  readonly headers: Readonly<Record<string, string>>
}

/** For the audit of what cannot be understood. */
export function senderOf(exchange: HttpExchange, { principal, endpoint }: Admission): Sender {
  return { principal, endpoint, remoteAddress: exchange.remoteAddress }
}

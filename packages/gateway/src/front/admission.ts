import type { Authenticator, Challenge, Principal } from '@sallyport/core'
import type { Sender } from '../call/message-audit.ts'
import type { HttpExchange } from './http-exchange.ts'
import { challengeHeader, metadataUrl } from './resource-metadata.ts'

/** A request that has been let in. */
export class Admission {
  readonly principal: Principal
  /** The one server that was called, or `toolsets/<name>`; absent on the aggregated endpoint. */
  readonly endpoint: string | undefined
  /** Headers that every answer carries (CORS). */
  readonly headers: Readonly<Record<string, string>>
  readonly #url: string
  readonly #authenticator: Authenticator

  /** @param url canonical URL of the endpoint */
  constructor(
    principal: Principal,
    endpoint: string | undefined,
    headers: Readonly<Record<string, string>>,
    url: string,
    authenticator: Authenticator,
  ) {
    this.principal = principal
    this.endpoint = endpoint
    this.headers = headers
    this.#url = url
    this.#authenticator = authenticator
  }

  /** The `WWW-Authenticate` header for a request that turns out to need more. */
  challengeHeader(challenge: Challenge): string {
    return challengeHeader(challenge, metadataUrl(this.#url, this.#authenticator))
  }
}

/** For the audit of what cannot be understood. */
export function senderOf(exchange: HttpExchange, { principal, endpoint }: Admission): Sender {
  return { principal, endpoint, remoteAddress: exchange.remoteAddress }
}

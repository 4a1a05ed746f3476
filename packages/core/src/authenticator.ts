import type { Principal } from './principal.ts'

/** What an authenticator may look at: the head of the request, never its body. */
export interface AuthenticationInput {
  readonly method: string
  /**
   * Canonical URL of the endpoint that is called, without query: the `resource` of RFC 9728, which a token
   * for this endpoint names as its audience (RFC 8707).
   */
  readonly url: string
  /** Header names in lower case; a repeated header is joined or an array, as Node.js does it. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Address of the peer of the TCP connection. */
  readonly remoteAddress?: string | undefined
}

/** A refusal, and what the client has to bring to be let in (RFC 6750 section 3). */
export interface Challenge {
  /** 401: no usable proof of identity. 403: known, but not allowed. */
  readonly status: 401 | 403
  readonly error?: 'invalid_request' | 'invalid_token' | 'insufficient_scope'
  /** Shown to the client: no part of the credential may be in it. */
  readonly description?: string
  /** The scopes that would be enough. */
  readonly scopes?: readonly string[]
}

/**
 * Turns the head of a request into a principal, or says what is missing.
 *
 * Called for every HTTP request, so it should answer without a promise when it can (a verified token that is
 * still valid). A rejection means that nobody could be asked (key set unreachable): the call is answered with
 * 503, never let through.
 */
export interface Authenticator {
  authenticate(input: AuthenticationInput): Principal | Challenge | Promise<Principal | Challenge>
  /** What clients are told in the protected resource metadata (RFC 9728 section 2). */
  readonly metadata?: {
    /** Issuer identifiers of the authorization servers whose tokens are taken. */
    readonly authorizationServers: readonly string[]
    readonly scopesSupported?: readonly string[]
  }
}

/** Tells the two results of {@link Authenticator.authenticate} apart. */
export function isChallenge(result: Principal | Challenge): result is Challenge {
  return 'status' in result
}

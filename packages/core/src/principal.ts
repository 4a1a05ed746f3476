/**
 * Who is calling: the result of authentication. Everything that is stored or cached for a caller is
 * keyed by `tenant` and, where it belongs to a person, by `subject`; neither may be empty.
 */
export interface Principal {
  /** The organization that the caller acts for. */
  readonly tenant: string
  /** The caller within that organization (OAuth `sub`, an API key's owner, the local user). */
  readonly subject: string
  /** The authority that vouched for the subject (OAuth `iss`); two issuers may use one subject for two people. */
  readonly issuer?: string
  /** The OAuth client or key through which the caller came. */
  readonly clientId?: string
  readonly roles: readonly string[]
  /** OAuth scopes granted to this call (RFC 6749 section 3.3). */
  readonly scopes: readonly string[]
  /** When the proof of identity ends, in milliseconds since the epoch. Streams of this caller end then. */
  readonly expiresAt?: number
}

const keys = new WeakMap<Principal, string>()

/** A string that is equal for two principals exactly if they are the same caller of the same tenant. */
export function principalKey(principal: Principal): string {
  const known = keys.get(principal)
  if (known !== undefined) return known
  const key = JSON.stringify([principal.tenant, principal.issuer ?? '', principal.subject])
  keys.set(principal, key)
  return key
}

import type { Principal } from '@sallyport/core'
import type { JWTPayload } from 'jose'

/** Claims of a token whose signature, issuer, audience and validity in time were checked. */
export type TokenClaims = Readonly<Record<string, unknown>>

/** Where in the claims the parts of a principal are that no standard places. */
export interface ClaimSources {
  /**
   * Name of the claim that holds the tenant, or a function of the claims. Default: every caller belongs to the tenant
   * `default`. A token that yields no tenant is refused. With several issuers, mind that each can write any claim.
   */
  readonly tenant?: string | ((claims: TokenClaims) => string | undefined)
  /** Name of the claim that holds the roles (default `roles`), or a function of the claims. */
  readonly roles?: string | ((claims: TokenClaims) => readonly string[])
}

/** Compares `aud` byte for byte; `expected` is one endpoint's URL or a list of given audiences. */
export function isMeantFor(audiences: readonly string[], expected: string | readonly string[]): boolean {
  if (typeof expected !== 'string') return audiences.some((audience) => expected.includes(audience))
  if (audiences.includes(expected)) return true
  // An empty path and "/" are one URL (RFC 3986 section 6.2.3), and clients write either.
  const other = expected.endsWith('/') ? expected.slice(0, -1) : `${expected}/`
  return /^https?:\/\/[^/]+\/?$/.test(expected) && audiences.includes(other)
}

/** Tells access tokens from the other tokens of the same issuer: see `bearerTokens`. */
export function isAccessToken(typ: string | undefined, claims: JWTPayload): boolean {
  const kind = typ?.toLowerCase().replace(/^application\//, '')
  if (kind !== undefined && kind !== 'at+jwt' && kind !== 'jwt') return false
  // Keycloak and Amazon Cognito say in the claims what kind of token it is.
  if (typeof claims['typ'] === 'string' && !/^(bearer|at\+jwt)$/i.test(claims['typ'])) return false
  if ('token_use' in claims && claims['token_use'] !== 'access') return false
  return kind === 'at+jwt' || !('nonce' in claims || 'at_hash' in claims || 'c_hash' in claims)
}

/** Answers with a text where the claims do not make a principal. */
export function toPrincipal(
  claims: JWTPayload,
  options: ClaimSources,
  toleranceSeconds: number,
): Principal | string {
  const tenant = tenantOf(claims, options.tenant)
  if (tenant === undefined) return 'The access token names no tenant'
  if (typeof claims.sub !== 'string' || claims.sub === '') return 'The access token names no subject'
  const clientId = [claims['client_id'], claims['azp'], claims['appid']].find(isText)
  return Object.freeze({
    tenant,
    subject: claims.sub,
    ...(claims.iss === undefined ? {} : { issuer: claims.iss }),
    ...(clientId === undefined ? {} : { clientId }),
    roles: Object.freeze([...rolesOf(claims, options.roles ?? 'roles')]),
    scopes: Object.freeze(words(claims['scope'] ?? claims['scp'])),
    expiresAt: Math.min(((claims.exp ?? 0) + toleranceSeconds) * 1000, Number.MAX_SAFE_INTEGER),
  })
}

function tenantOf(claims: JWTPayload, source: ClaimSources['tenant']): string | undefined {
  if (source === undefined) return 'default'
  const tenant = typeof source === 'function' ? source(claims) : ownClaim(claims, source)
  return isText(tenant) ? tenant : undefined
}

function rolesOf(claims: JWTPayload, source: NonNullable<ClaimSources['roles']>): readonly string[] {
  return typeof source === 'function' ? source(claims) : words(ownClaim(claims, source))
}

function ownClaim(claims: JWTPayload, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined
}

/** `scope` is one text with spaces in RFC 9068, a list elsewhere; roles likewise. */
function words(value: unknown): string[] {
  if (typeof value === 'string') return value.split(' ').filter(isText)
  return Array.isArray(value) ? value.filter(isText) : []
}

export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

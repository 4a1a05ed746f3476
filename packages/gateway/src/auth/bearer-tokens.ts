import type { AuthenticationInput, Authenticator, Challenge, Principal } from '@sallyport/core'
import {
  createLocalJWKSet,
  decodeJwt,
  errors,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  type JWTVerifyResult,
  jwtVerify,
} from 'jose'
import { z } from 'zod'
import { checkOptions } from '../config/check-options.ts'
import { strict } from '../config/plain-issues.ts'
import { type ClaimSources, isAccessToken, isMeantFor, isText, toPrincipal } from './access-token-claims.ts'
import { createIssuerKeys, isTrustworthyUrl } from './issuer-keys.ts'
import { createVerifiedTokens } from './verified-tokens.ts'

/** The signature algorithms that are taken. Symmetric ones are not among them: whoever verifies could also sign. */
export type SignatureAlgorithm = (typeof signatureAlgorithms)[number]

const signatureAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const

export interface BearerTokensOptions extends ClaimSources {
  /** Issuer identifiers, compared byte for byte: with or without a last slash, as the authorization server writes it. */
  readonly issuer: string | readonly string[]
  /**
   * One of these has to be in a token's `aud`. Default: the URL of the endpoint that is called, so that a token
   * for one server is of no use at another (RFC 8707, RFC 9728).
   */
  readonly audience?: string | readonly string[]
  /**
   * The key set of all the issuers, or where it is. Default: found through the metadata of each issuer (RFC 8414,
   * OpenID Connect Discovery 1.0). For issuers with key sets of their own, combine several `bearerTokens` by `firstOf`.
   */
  readonly jwks?: string | URL | { readonly keys: readonly Readonly<Record<string, unknown>>[] }
  /** Default: all of them. */
  readonly algorithms?: readonly SignatureAlgorithm[]
  /** Scopes that every call needs; a token with fewer is answered with 403 and this list. */
  readonly requiredScopes?: readonly string[]
  /** How far the clocks of issuer and gateway may differ (default 5). */
  readonly clockToleranceSeconds?: number
  /** Fetches metadata and key sets (default: the global `fetch`). */
  readonly fetch?: typeof globalThis.fetch
  /** Clock in milliseconds since the epoch (default `Date.now`). */
  readonly now?: () => number
  /** Number of verified tokens remembered (default 10,000). */
  readonly cacheSize?: number
}

/**
 * Takes OAuth 2.0 access tokens in JWT form (RFC 9068) from the `Authorization` header; a token in the query string
 * (RFC 6750 section 2.3) is never looked at.
 *
 * A token must be signed by a key of its issuer with an asymmetric algorithm and carry `iss`, `aud`, `exp` and `sub`.
 * An OpenID Connect ID token is no access token, although it is signed by the same keys: refused are a `typ` header other
 * than `at+jwt` or `JWT`, a `typ` or `token_use` claim that names another kind of token, and, unless `typ` is `at+jwt`,
 * the claims `nonce`, `at_hash` and `c_hash`, which only ID tokens carry. A token that is bound to a key (`cnf`) is refused
 * too, since its proof of possession is not checked here and it must not pass as a plain bearer token (RFC 9449 section 7.2).
 *
 * A verified token is remembered until it expires, but for five minutes at most: then its signature is checked again, so
 * that a key which the issuer withdrew does not live on. Rejects with `StorageUnavailableError` when the issuer's keys
 * cannot be read.
 * @throws ConfigError
 */
export function bearerTokens(options: BearerTokensOptions): Authenticator {
  checkOptions('bearerTokens', optionsSchema, options)
  const now = options.now ?? Date.now
  const issuers = asList(options.issuer)
  const audiences = options.audience === undefined ? undefined : asList(options.audience)
  const requiredScopes = options.requiredScopes ?? []
  const keysOf = keySources(options, issuers, now)
  const toleranceSeconds = options.clockToleranceSeconds ?? 5
  const algorithms = [...(options.algorithms ?? signatureAlgorithms)]
  const verified = createVerifiedTokens<Verified>(options.cacheSize ?? 10_000)
  const missing: Challenge = { status: 401, ...scopesOf(requiredScopes) }

  // Signature and time do not depend on the endpoint, the audience does: it is compared on each call.
  const decide = (token: Verified, url: string) =>
    isMeantFor(token.audiences, audiences ?? url)
      ? token.result
      : invalid('The access token is for another resource')

  async function verify(authorization: string, url: string): Promise<Principal | Challenge> {
    const token = jwtIn(authorization)
    if (token === undefined) return invalid('The access token is not a signed JWT')
    const issuer = issuerOf(token)
    const keys = issuer === undefined ? undefined : keysOf.get(issuer)
    if (issuer === undefined || keys === undefined) {
      return invalid('The access token is of an issuer that is not accepted here')
    }
    let claims: JWTPayload
    let typ: string | undefined
    try {
      const settings = {
        issuer,
        algorithms,
        clockTolerance: toleranceSeconds,
        currentDate: new Date(now()),
        requiredClaims: ['iss', 'aud', 'exp', 'sub'],
      }
      const { payload, protectedHeader } = await verifyWithAnyKey(token, keys, settings)
      claims = payload
      typ = protectedHeader.typ
    } catch (error) {
      const reason = reasonOf(error)
      if (reason === undefined) throw error
      return invalid(reason)
    }
    if (!isAccessToken(typ, claims)) return invalid('The token is not an access token')
    if ('cnf' in claims) return invalid('The access token is bound to a key, which is not supported')
    const principal = toPrincipal(claims, options, toleranceSeconds)
    if (typeof principal === 'string') return invalid(principal)
    const entry: Verified = {
      audiences: [claims.aud].flat().filter(isText),
      result: requiredScopes.every((scope) => principal.scopes.includes(scope))
        ? principal
        : tooFewScopes(requiredScopes),
      usableUntil: Math.min(principal.expiresAt ?? 0, now() + verifyAgainAfterMs),
    }
    verified.set(authorization, entry)
    return decide(entry, url)
  }

  return {
    authenticate(input: AuthenticationInput) {
      const authorization = input.headers.authorization
      if (authorization === undefined) return missing
      if (typeof authorization !== 'string') return repeated
      const known = verified.get(authorization)
      if (known !== undefined) {
        if (known.usableUntil > now()) return decide(known, input.url)
        verified.delete(authorization)
      }
      // Another scheme is a credential that is not supported: the same as none (RFC 6750 section 3.1).
      if (!/^bearer +[^ ]/i.test(authorization)) return missing
      if (authorization.length > longestHeader) return invalid('The access token is too long')
      return verify(authorization, input.url)
    },
    metadata: {
      authorizationServers: issuers,
      ...(requiredScopes.length > 0 ? { scopesSupported: requiredScopes } : {}),
    },
  }
}

/** What is remembered of a token: its own validity in time, and what to answer where its audience fits. */
interface Verified {
  readonly audiences: readonly string[]
  readonly result: Principal | Challenge
  readonly usableUntil: number
}

const verifyAgainAfterMs = 5 * 60_000
const longestHeader = 16_384

const claimSource = z.union([z.string().min(1), z.custom((value) => typeof value === 'function')], {
  error: 'expected the name of a claim or a function',
})
const issuerUrl = z.string().refine(isTrustworthyUrl, {
  error: 'expected an https URL without query and fragment (http on loopback only)',
})
const text = z.string().min(1)
const optionsSchema = strict({
  issuer: z.union([issuerUrl, z.array(issuerUrl).min(1)]),
  audience: z.union([text, z.array(text).min(1)]).optional(),
  jwks: z
    .union(
      [
        z.url().refine(isTrustworthyUrl),
        z.instanceof(URL).refine((url) => isTrustworthyUrl(url.href)),
        z.looseObject({
          keys: z
            .array(z.record(z.string(), z.unknown()).refine(isPublicKey, 'expected a public key'))
            .min(1),
        }),
      ],
      { error: 'expected an https URL (http on loopback only) or a key set that holds public keys only' },
    )
    .optional(),
  algorithms: z
    .array(
      z.enum(signatureAlgorithms, {
        error: `expected asymmetric algorithms: ${signatureAlgorithms.join(', ')}`,
      }),
    )
    .min(1)
    .optional(),
  requiredScopes: z
    .array(
      z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, { error: 'expected a scope (RFC 6749 section 3.3)' }),
    )
    .optional(),
  clockToleranceSeconds: z.number().min(0).max(300).optional(),
  tenant: claimSource.optional(),
  roles: claimSource.optional(),
  fetch: z.custom((value) => typeof value === 'function', { error: 'expected a function' }).optional(),
  now: z.custom((value) => typeof value === 'function', { error: 'expected a function' }).optional(),
  cacheSize: z.int().min(1).optional(),
})

/** A symmetric or private key in a key set that is meant to be public is a secret in the wrong place. */
function isPublicKey(key: Readonly<Record<string, unknown>>): boolean {
  return typeof key['kty'] === 'string' && key['kty'] !== 'oct' && !('d' in key) && !('k' in key)
}

function keySources(
  options: BearerTokensOptions,
  issuers: readonly string[],
  now: () => number,
): ReadonlyMap<string, JWTVerifyGetKey> {
  const fetch = options.fetch ?? globalThis.fetch
  const { jwks } = options
  const location = typeof jwks === 'string' ? jwks : jwks instanceof URL ? jwks.href : undefined
  if (location !== undefined) {
    // One set for all issuers is also one cache.
    const shared = createIssuerKeys({ issuer: issuers.join(', '), jwksUrl: location, fetch, now })
    return new Map(issuers.map((issuer) => [issuer, shared]))
  }
  if (jwks !== undefined && typeof jwks === 'object' && 'keys' in jwks) {
    const given = createLocalJWKSet({ keys: jwks.keys.map((key) => ({ ...key, kty: String(key['kty']) })) })
    return new Map(issuers.map((issuer) => [issuer, given]))
  }
  return new Map(issuers.map((issuer) => [issuer, createIssuerKeys({ issuer, fetch, now })]))
}

function jwtIn(authorization: string): string | undefined {
  return /^bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(authorization)?.[1]
}

/** A token need not say which of several fitting keys it was signed with. */
async function verifyWithAnyKey(
  token: string,
  keys: JWTVerifyGetKey,
  settings: JWTVerifyOptions,
): Promise<JWTVerifyResult> {
  try {
    return await jwtVerify(token, keys, settings)
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    for await (const key of error) {
      try {
        return await jwtVerify(token, key, settings)
      } catch (failure) {
        if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure
      }
    }
    throw new errors.JWSSignatureVerificationFailed()
  }
}

/** The issuer that the token names, not yet proved: it only chooses the keys to prove it with. */
function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss
  } catch {
    return undefined
  }
}

/** Why a token was refused; `undefined` where it was not the token's fault. */
function reasonOf(error: unknown): string | undefined {
  if (error instanceof errors.JWTExpired) return 'The access token has expired'
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'nbf' && error.reason === 'check_failed') return 'The access token is not valid yet'
    return 'The access token lacks a claim, or a claim is not what it has to be'
  }
  if (error instanceof errors.JOSEAlgNotAllowed)
    return 'The access token is signed with an algorithm that is not accepted'
  if (error instanceof errors.JWKSNoMatchingKey)
    return 'The access token is signed with a key that its issuer does not publish'
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return 'The signature of the access token is wrong'
  return error instanceof errors.JOSEError ? 'The access token is malformed' : undefined
}

const repeated: Challenge = {
  status: 401,
  error: 'invalid_request',
  description: 'The Authorization header was sent more than once',
}

function invalid(description: string): Challenge {
  return { status: 401, error: 'invalid_token', description }
}

function tooFewScopes(scopes: readonly string[]): Challenge {
  return { status: 403, error: 'insufficient_scope', description: 'The access token lacks a scope', scopes }
}

function scopesOf(scopes: readonly string[]): { scopes?: readonly string[] } {
  return scopes.length > 0 ? { scopes } : {}
}

function asList(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value
}

import { StorageUnavailableError } from '@sallyport/core'
import { createLocalJWKSet, errors, type JWK, type JWTVerifyGetKey } from 'jose'
import { z } from 'zod'

/**
 * The public keys of an authorization server, fetched when first needed and kept.
 *
 * - Requests that need them at the same time share one fetch.
 * - A key set older than ten minutes is fetched again in the background; if that fails, it serves for an hour.
 * - A key id that is not in the set leads to a new fetch (the issuer may have rotated), but not within 30 seconds of
 *   the last one: made-up key ids must not turn the gateway against the issuer.
 * - After a failed fetch there is none for two seconds.
 *
 * Rejects with `StorageUnavailableError` when there is no key set that may be used.
 */
export function createIssuerKeys(options: {
  readonly issuer: string
  /** Default: the `jwks_uri` in the issuer's metadata. */
  readonly jwksUrl?: string
  readonly fetch: typeof globalThis.fetch
  readonly now: () => number
}): JWTVerifyGetKey {
  const { issuer, fetch, now } = options
  let current: { readonly find: JWTVerifyGetKey; readonly fetchedAt: number } | undefined
  let failed: { readonly error: StorageUnavailableError; readonly at: number } | undefined
  let pending: Promise<JWTVerifyGetKey> | undefined
  let discovered: string | undefined

  async function load(): Promise<JWTVerifyGetKey> {
    try {
      const url = options.jwksUrl ?? discovered ?? (await discover(issuer, fetch))
      const keys = await fetchKeySet(url, fetch)
      if (options.jwksUrl === undefined) discovered = url
      current = { find: createLocalJWKSet({ keys }), fetchedAt: now() }
      failed = undefined
      return current.find
    } catch (cause) {
      // The issuer may have moved its keys: look it up anew next time.
      discovered = undefined
      const error = new StorageUnavailableError(`the keys of ${issuer} cannot be read: ${textOf(cause)}`, {
        cause,
      })
      failed = { error, at: now() }
      throw error
    }
  }

  function refresh(): Promise<JWTVerifyGetKey> {
    if (pending !== undefined) return pending
    if (failed !== undefined && now() - failed.at < pauseAfterFailureMs) return Promise.reject(failed.error)
    pending = load().finally(() => {
      pending = undefined
    })
    return pending
  }

  async function usable(): Promise<JWTVerifyGetKey> {
    if (current === undefined) return refresh()
    const ageMs = now() - current.fetchedAt
    if (ageMs >= usableForMs) return refresh()
    // Its failure is kept in `failed`, and met by whoever needs the outcome.
    if (ageMs >= freshForMs) refresh().catch(() => {})
    return current.find
  }

  return async (header, token) => {
    const find = await usable()
    try {
      return await find(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      if (current !== undefined && now() - current.fetchedAt < pauseBetweenLooksMs) throw error
      return (await refresh())(header, token)
    }
  }
}

/** Keys and metadata decide who gets in: they come over TLS, or from this machine. */
export function isTrustworthyUrl(value: string): boolean {
  if (!URL.canParse(value) || /[?#]/.test(value)) return false
  const { protocol, hostname, username } = new URL(value)
  if (username !== '') return false
  return (
    protocol === 'https:' || (protocol === 'http:' && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname))
  )
}

const freshForMs = 10 * 60_000
const usableForMs = 60 * 60_000
const pauseBetweenLooksMs = 30_000
const pauseAfterFailureMs = 2_000
const fetchTimeoutMs = 5_000
const longestDocument = 1_048_576

const metadataSchema = z.looseObject({ issuer: z.string(), jwks_uri: z.string() })
const keySetSchema = z.looseObject({ keys: z.array(z.looseObject({ kty: z.string() })) })

/** Where the issuer says its keys are: the order of the MCP specification (authorization server metadata discovery). */
async function discover(issuer: string, fetch: typeof globalThis.fetch): Promise<string> {
  const reasons: string[] = []
  for (const url of metadataUrls(issuer)) {
    const answer = await fetchJson(url, fetch)
    const document = metadataSchema.safeParse(answer.json)
    if (!document.success) {
      reasons.push(`${url} ${answer.problem ?? 'has no issuer and jwks_uri'}`)
      continue
    }
    // RFC 8414 section 3.3: a document that names another issuer must not be used.
    if (document.data.issuer !== issuer) reasons.push(`${url} is the metadata of another issuer`)
    else if (isTrustworthyKeyLocation(document.data.jwks_uri, issuer)) return document.data.jwks_uri
    else reasons.push(`${url} names a jwks_uri that is not https`)
  }
  throw new Error(reasons.join('; '))
}

function metadataUrls(issuer: string): string[] {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  const urls = [
    `${origin}/.well-known/oauth-authorization-server${path}`,
    `${origin}/.well-known/openid-configuration${path}`,
  ]
  return path === '' ? urls : [...urls, `${origin}${path}/.well-known/openid-configuration`]
}

/** Metadata that came over TLS may not send us to this machine's loopback, where something else may answer. */
function isTrustworthyKeyLocation(url: string, issuer: string): boolean {
  const bare = url.replace(/\?.*$/s, '')
  return isTrustworthyUrl(bare) && (bare.startsWith('https:') || issuer.startsWith('http:'))
}

async function fetchKeySet(url: string, fetch: typeof globalThis.fetch): Promise<JWK[]> {
  const answer = await fetchJson(url, fetch)
  const document = keySetSchema.safeParse(answer.json)
  if (!document.success) throw new Error(`${url} ${answer.problem ?? 'is not a key set'}`)
  return document.data.keys
}

/** Rejects if the server cannot be reached; `problem` says why what it answered is not a JSON document. */
async function fetchJson(
  url: string,
  fetch: typeof globalThis.fetch,
): Promise<{ readonly json?: unknown; readonly problem?: string }> {
  const response = await fetch(url, {
    headers: { accept: 'application/json' },
    redirect: 'error',
    signal: AbortSignal.timeout(fetchTimeoutMs),
  })
  if (response.status !== 200) {
    await response.body?.cancel()
    return { problem: `answered ${response.status}` }
  }
  const body = await readText(response, url)
  try {
    return { json: JSON.parse(body) }
  } catch {
    return { problem: 'is not JSON' }
  }
}

async function readText(response: Response, url: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.length
    if (length > longestDocument) throw new Error(`${url} is longer than ${longestDocument} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** `fetch` hides what happened in `cause`. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown failure'
  const { cause } = error
  const code =
    typeof cause === 'object' && cause !== null && 'code' in cause ? ` (${String(cause.code)})` : ''
  return `${error.message}${code}`
}

import { timingSafeEqual } from 'node:crypto'
import type { AuthenticationInput, Authenticator, Challenge, Principal } from '@sallyport/core'
import { z } from 'zod'
import { checkOptions } from '../config/check-options.ts'
import { strict } from '../config/plain-issues.ts'
import { apiKeyId, hashApiKey } from './api-key.ts'

/** What is stored of a key: nothing that lets anyone in. */
export interface ApiKeyRecord {
  readonly id: string
  /** From `generateApiKey` or `hashApiKey`. */
  readonly hash: string
  readonly tenant: string
  readonly subject: string
  readonly roles?: readonly string[]
  readonly scopes?: readonly string[]
  /** Milliseconds since the epoch. */
  readonly expiresAt?: number
}

export interface ApiKeysOptions {
  /** The records, or a function that finds one by id. Its rejection means that the store does not answer. */
  readonly keys:
    | readonly ApiKeyRecord[]
    | ((id: string) => ApiKeyRecord | undefined | Promise<ApiKeyRecord | undefined>)
  /** Clock in milliseconds since the epoch (default `Date.now`). */
  readonly now?: () => number
}

/**
 * Takes keys made by `generateApiKey`, as `Authorization: Bearer spk_…` or as `X-API-Key`. An unknown key and a wrong one are
 * answered alike. A bearer token of another form is not its business: the challenge then has no `error`, so that `firstOf`
 * lets the authenticator of that token speak.
 * @throws ConfigError
 */
export function apiKeys(options: ApiKeysOptions): Authenticator {
  checkOptions('apiKeys', optionsSchema, options)
  const { keys } = options
  const now = options.now ?? Date.now
  const given = typeof keys === 'function' ? undefined : new Map(keys.map((record) => [record.id, record]))
  const lookup = typeof keys === 'function' ? keys : (id: string) => given?.get(id)

  function judge(key: string, id: string, record: ApiKeyRecord | undefined): Principal | Challenge {
    const presented = Buffer.from(hashApiKey(key))
    const stored = Buffer.from(record?.hash ?? hashOfNothing)
    const matches = stored.length === presented.length && timingSafeEqual(stored, presented)
    // A store that looks ids up loosely must not hand out somebody else's record.
    if (!matches || record === undefined || record.id !== id) return wrong
    // Who reads from a store need not have checked what is in it: an empty identity is nobody.
    if (record.tenant === '' || record.subject === '') return wrong
    if (record.expiresAt !== undefined && record.expiresAt <= now()) return expired
    return {
      tenant: record.tenant,
      subject: record.subject,
      clientId: record.id,
      roles: record.roles ?? [],
      scopes: record.scopes ?? [],
      ...(record.expiresAt === undefined ? {} : { expiresAt: record.expiresAt }),
    }
  }

  return {
    authenticate(input) {
      const key = keyIn(input.headers)
      if (typeof key !== 'string') return key
      const id = apiKeyId(key)
      if (id === undefined) return wrong
      const record = lookup(id)
      return record instanceof Promise
        ? record.then((found) => judge(key, id, found))
        : judge(key, id, record)
    },
  }
}

function keyIn(headers: AuthenticationInput['headers']): string | Challenge {
  const { authorization } = headers
  const own = headers['x-api-key']
  if (typeof authorization === 'object' || typeof own === 'object') return ambiguous
  const bearer = authorization === undefined ? undefined : /^bearer +(spk_.*)$/is.exec(authorization)?.[1]
  if (own !== undefined && bearer !== undefined && own !== bearer) return ambiguous
  return own ?? bearer ?? missing
}

const hashOfNothing = `sha256:${'0'.repeat(64)}`

const missing: Challenge = { status: 401 }
const wrong: Challenge = { status: 401, error: 'invalid_token', description: 'The API key is not valid' }
const expired: Challenge = { status: 401, error: 'invalid_token', description: 'The API key has expired' }
const ambiguous: Challenge = {
  status: 401,
  error: 'invalid_request',
  description: 'More than one credential was sent',
}

const text = z.string().min(1)
const recordSchema = strict({
  id: z.string().regex(/^[0-9a-f]{16}$/, { error: 'expected the id from generateApiKey' }),
  hash: z
    .string()
    .regex(/^sha256:[0-9a-f]{64}$/, { error: 'expected a hash from hashApiKey, never the key itself' }),
  tenant: text,
  subject: text,
  roles: z.array(z.string()).optional(),
  scopes: z.array(z.string()).optional(),
  expiresAt: z.number().optional(),
})
const optionsSchema = strict({
  keys: z.union([
    z.custom((value) => typeof value === 'function', { error: 'expected an array of records or a function' }),
    z
      .array(recordSchema)
      .refine((records) => new Set(records.map((record) => record.id)).size === records.length, {
        error: 'two records have the same id',
      }),
  ]),
  now: z.custom((value) => typeof value === 'function', { error: 'expected a function' }).optional(),
})

import {
  type Authenticator,
  type Challenge,
  ConfigError,
  type Principal,
  StorageUnavailableError,
} from '@sallyport/core'
import { expect, test } from 'vitest'
import { generateApiKey } from '../../src/auth/api-key.ts'
import { apiKeys } from '../../src/auth/api-keys.ts'
import { bearerTokens } from '../../src/auth/bearer-tokens.ts'
import { firstOf } from '../../src/auth/first-of.ts'
import { loopbackOnly } from '../../src/auth/loopback-only.ts'
import { createSigningKey, startLocalIssuer } from './local-issuer.ts'

const input = { method: 'POST', url: 'https://mcp.example.com', headers: {} }
const ada: Principal = { tenant: 't', subject: 'ada', roles: [], scopes: [] }
const bob: Principal = { tenant: 't', subject: 'bob', roles: [], scopes: [] }
const nothing: Challenge = { status: 401 }
const invalid: Challenge = { status: 401, error: 'invalid_token' }
const scopes: Challenge = { status: 403, error: 'insufficient_scope', scopes: ['a'] }
const down = new StorageUnavailableError('down')

const says = (answer: Principal | Challenge): Authenticator => ({ authenticate: () => answer })
const saysLater = (answer: Principal | Challenge): Authenticator => ({ authenticate: async () => answer })
const rejects: Authenticator = { authenticate: () => Promise.reject(down) }
const throws: Authenticator = {
  authenticate() {
    throw down
  },
}

test('the first principal wins, without a promise where none is needed', () => {
  expect(firstOf([says(invalid), says(ada), says(bob)]).authenticate(input)).toBe(ada)
  expect(firstOf([throws, says(ada), rejects]).authenticate(input)).toBe(ada)
})

test('also behind a promise', async () => {
  expect(await firstOf([saysLater(invalid), says(ada), saysLater(bob)]).authenticate(input)).toBe(ada)
  expect(await firstOf([rejects, saysLater(nothing), saysLater(bob)]).authenticate(input)).toBe(bob)
})

test('the challenge that says most is returned', async () => {
  expect(firstOf([says(nothing), says(invalid), says({ status: 403 })]).authenticate(input)).toBe(invalid)
  expect(firstOf([says({ status: 403 }), says(nothing)]).authenticate(input)).toBe(nothing)
  expect(await firstOf([saysLater(invalid), says(scopes), says(nothing)]).authenticate(input)).toBe(scopes)
})

test('whoever could not be asked might have known the caller', async () => {
  for (const silent of [rejects, throws]) {
    const answer = async () => firstOf([says(invalid), silent, says(scopes)]).authenticate(input)
    await expect(answer()).rejects.toBe(down)
  }
})

test('metadata is merged', () => {
  const one: Authenticator = {
    ...says(ada),
    metadata: { authorizationServers: ['a', 'b'], scopesSupported: ['x'] },
  }
  const two: Authenticator = { ...says(ada), metadata: { authorizationServers: ['b', 'c'] } }
  expect(firstOf([one, says(ada), two]).metadata).toEqual({
    authorizationServers: ['a', 'b', 'c'],
    scopesSupported: ['x'],
  })
  expect(firstOf([says(ada)]).metadata).toBeUndefined()
  expect(() => firstOf([])).toThrow(ConfigError)
})

test('keys and tokens side by side are told apart', async () => {
  const signingKey = await createSigningKey('k1')
  const local = await startLocalIssuer({ keys: [signingKey] })
  const made = generateApiKey()
  const authenticator = firstOf([
    apiKeys({ keys: [{ id: made.id, hash: made.hash, tenant: 't', subject: 'robot' }] }),
    bearerTokens({ issuer: local.issuer }),
    loopbackOnly(),
  ])
  const ask = (authorization: string) => authenticator.authenticate({ ...input, headers: { authorization } })
  const exp = Math.floor(Date.now() / 1000) + 60
  expect(await ask(`Bearer ${made.key}`)).toMatchObject({ subject: 'robot' })
  expect(await ask(`Bearer ${await local.sign(signingKey, { aud: input.url, exp })}`)).toMatchObject({
    subject: 'ada',
  })
  expect(await ask(`Bearer ${await local.sign(signingKey, { aud: input.url, exp: 1 })}`)).toMatchObject({
    description: 'The access token has expired',
  })
  expect(await ask(`Bearer ${generateApiKey().key}`)).toMatchObject({
    description: 'The API key is not valid',
  })
  expect(authenticator.authenticate(input)).toEqual({ status: 401 })
  expect(authenticator.metadata).toEqual({ authorizationServers: [local.issuer] })
  await local.close()
})

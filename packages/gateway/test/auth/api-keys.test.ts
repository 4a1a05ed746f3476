import { ConfigError, isChallenge, StorageUnavailableError } from '@sallyport/core'
import { expect, test } from 'vitest'
import { generateApiKey, hashApiKey } from '../../src/auth/api-key.ts'
import { type ApiKeyRecord, apiKeys } from '../../src/auth/api-keys.ts'

const start = 1_800_000_000_000
const made = generateApiKey()
const record: ApiKeyRecord = {
  id: made.id,
  hash: made.hash,
  tenant: 'acme',
  subject: 'ada',
  roles: ['engineer'],
}
const ada = { tenant: 'acme', subject: 'ada', clientId: made.id, roles: ['engineer'], scopes: [] }

function call(headers: Record<string, string | string[]>) {
  return { method: 'POST', url: 'https://mcp.example.com', headers }
}

/** Another secret under the same id, with a right checksum. */
function forgeKey(id: string): string {
  return reseal(`spk_${id}_${generateApiKey().key.slice(21, 64)}`)
}

/** Finds the checksum of a body the way an attacker would: it is no secret. */
function reseal(body: string): string {
  let crc = 0xffffffff
  for (const byte of Buffer.from(body)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  let rest = (crc ^ 0xffffffff) >>> 0
  let sum = ''
  const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  while (sum.length < 6) {
    sum = digits.charAt(rest % 62) + sum
    rest = Math.floor(rest / 62)
  }
  return body + sum
}

test('a key has a form that scanners and people recognise, and is never the same twice', () => {
  const keys = Array.from({ length: 200 }, generateApiKey)
  for (const { key, id, hash } of keys) {
    expect(key).toMatch(/^spk_[0-9a-f]{16}_[0-9A-Za-z]{49}$/)
    expect(key).toContain(id)
    expect(hash).toBe(hashApiKey(key))
    expect(hash).not.toContain(key)
  }
  expect(new Set(keys.map(({ key }) => key)).size).toBe(200)
  expect(reseal(made.key.slice(0, -6))).toBe(made.key)
})

test('a key is taken from either header', () => {
  const authenticator = apiKeys({ keys: [record] })
  expect(authenticator.authenticate(call({ authorization: `Bearer ${made.key}` }))).toEqual(ada)
  expect(authenticator.authenticate(call({ authorization: `bearer   ${made.key}` }))).toEqual(ada)
  expect(authenticator.authenticate(call({ 'x-api-key': made.key }))).toEqual(ada)
  expect(
    authenticator.authenticate(call({ 'x-api-key': made.key, authorization: `Bearer ${made.key}` })),
  ).toEqual(ada)
  expect(authenticator.authenticate(call({ 'x-api-key': made.key, authorization: 'Bearer a.b.c' }))).toEqual(
    ada,
  )
  expect(authenticator.metadata).toBeUndefined()
})

test('an unknown and a wrong key are answered alike', async () => {
  const authenticator = apiKeys({ keys: [record] })
  const answers = [
    generateApiKey().key,
    forgeKey(made.id),
    `${made.key}x`,
    made.key.slice(0, -1),
    made.key.toUpperCase(),
    made.key.replace(/.$/, (last) => (last === 'a' ? 'b' : 'a')),
    'spk_',
    'spk___proto__',
    made.hash,
    made.id,
  ].map((key) => authenticator.authenticate(call({ 'x-api-key': key })))
  for (const answer of answers) {
    expect(answer).toEqual({ status: 401, error: 'invalid_token', description: 'The API key is not valid' })
  }
})

test('no key is no mistake; two keys are one', () => {
  const authenticator = apiKeys({ keys: [record] })
  for (const headers of [{}, { authorization: 'Bearer a.b.c' }, { authorization: 'Basic spk_x' }]) {
    expect(authenticator.authenticate(call(headers))).toEqual({ status: 401 })
  }
  for (const headers of [
    { authorization: `Bearer ${made.key}`, 'x-api-key': generateApiKey().key },
    { 'x-api-key': [made.key, made.key] },
    { authorization: [`Bearer ${made.key}`] },
  ]) {
    expect(authenticator.authenticate(call(headers))).toMatchObject({ status: 401, error: 'invalid_request' })
  }
})

test('a key ends when it expires', () => {
  let now = start
  const authenticator = apiKeys({ keys: [{ ...record, expiresAt: start + 1 }], now: () => now })
  expect(authenticator.authenticate(call({ 'x-api-key': made.key }))).toEqual({
    ...ada,
    expiresAt: start + 1,
  })
  now += 1
  expect(authenticator.authenticate(call({ 'x-api-key': made.key }))).toMatchObject({
    status: 401,
    error: 'invalid_token',
    description: 'The API key has expired',
  })
})

test('records may come from a store', async () => {
  const authenticator = apiKeys({ keys: async (id) => (id === made.id ? record : undefined) })
  expect(await authenticator.authenticate(call({ 'x-api-key': made.key }))).toEqual(ada)
  expect(await authenticator.authenticate(call({ 'x-api-key': generateApiKey().key }))).toMatchObject({
    status: 401,
  })
})

test('a store that does not answer lets nobody in', async () => {
  const authenticator = apiKeys({ keys: () => Promise.reject(new StorageUnavailableError('down')) })
  const answer = Promise.resolve(authenticator.authenticate(call({ 'x-api-key': made.key })))
  await expect(answer).rejects.toThrow(StorageUnavailableError)
})

test('a store that hands out the wrong or an empty record lets nobody in', async () => {
  for (const bad of [
    { ...record, id: '0000000000000000' },
    { ...record, hash: 'sha256:' },
    { ...record, hash: made.key },
    { ...record, tenant: '' },
    { ...record, subject: '' },
  ]) {
    const answer = await apiKeys({ keys: () => bad }).authenticate(call({ 'x-api-key': made.key }))
    expect(isChallenge(answer)).toBe(true)
  }
})

test('options are checked at once, without giving a key away', () => {
  for (const keys of [
    [{ ...record, hash: made.key }],
    [record, record],
    [{ ...record, tenant: '' }],
    [{ key: made.key }],
    7,
  ]) {
    let message = ''
    try {
      apiKeys(JSON.parse(JSON.stringify({ keys })))
    } catch (error) {
      message = String(error)
    }
    expect(message).toMatch(/^ConfigError: apiKeys/)
    expect(message).not.toContain(made.key)
  }
  expect(() => hashApiKey('hunter2')).toThrow(ConfigError)
  expect(() => hashApiKey('hunter2')).not.toThrow(/hunter2/)
})

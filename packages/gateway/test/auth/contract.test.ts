import { describe, expect, test } from 'vitest'
import { authenticatorContract } from '@sallyport/contracts'
import { apiKeys, bearerTokens, firstOf, generateApiKey, loopbackOnly } from '../../src/auth/index.ts'
import { createSigningKey, startLocalIssuer } from './local-issuer.ts'

const url = 'https://mcp.example.com/mcp'
const made = generateApiKey()
const keys = [{ id: made.id, hash: made.hash, tenant: 'acme', subject: 'robot' }]
const signingKey = await createSigningKey('k1')
const heads = (headers: Record<string, string>) => ({
  method: 'POST',
  url,
  headers,
  remoteAddress: '203.0.113.7',
})

const withKey = [heads({ authorization: `Bearer ${made.key}` }), heads({ 'x-api-key': made.key })]
const wrongKey = [generateApiKey().key, `${made.key}x`].map((key) => ({
  input: heads({ 'x-api-key': key }),
  secrets: [key, key.slice(21)],
}))

async function openTokens() {
  const local = await startLocalIssuer({ keys: [signingKey] })
  const exp = Math.floor(Date.now() / 1000) + 600
  const token = await local.sign(signingKey, { aud: url, exp, scope: 'use' })
  const bad = await Promise.all([
    local.sign(signingKey, { aud: url, exp: 1, scope: 'use' }),
    local.sign(signingKey, { aud: 'https://other.example', exp, scope: 'use' }),
    local.sign(signingKey, { aud: url, exp, scope: 'other' }),
    local.sign(signingKey, { aud: url, exp, iss: 'https://evil.example' }),
  ])
  return {
    authenticator: bearerTokens({ issuer: local.issuer, requiredScopes: ['use'] }),
    accepted: [heads({ authorization: `Bearer ${token}` })],
    refused: bad.map((one) => ({
      input: heads({ authorization: `Bearer ${one}` }),
      secrets: one.split('.'),
    })),
    close: () => local.close(),
  }
}

describe('apiKeys', () => {
  const open = () => ({ authenticator: apiKeys({ keys }), accepted: withKey, refused: wrongKey })
  test.each(authenticatorContract({ open }))('$name', async ({ run }) =>
    expect(run()).resolves.toBeUndefined(),
  )
})

describe('loopbackOnly', () => {
  const accepted = [{ ...heads({}), remoteAddress: '127.0.0.1' }]
  const open = () => ({
    authenticator: loopbackOnly(),
    accepted,
    refused: [{ input: heads({}), secrets: [] }],
  })
  test.each(authenticatorContract({ open }))('$name', async ({ run }) =>
    expect(run()).resolves.toBeUndefined(),
  )
})

describe('bearerTokens', () => {
  test.each(authenticatorContract({ open: openTokens }))('$name', async ({ run }) =>
    expect(run()).resolves.toBeUndefined(),
  )
})

describe('firstOf', () => {
  const open = async () => {
    const tokens = await openTokens()
    return {
      authenticator: firstOf([apiKeys({ keys }), tokens.authenticator, loopbackOnly()]),
      accepted: [...withKey, ...tokens.accepted],
      refused: [...wrongKey, ...tokens.refused],
      close: tokens.close,
    }
  }
  test.each(authenticatorContract({ open }))('$name', async ({ run }) =>
    expect(run()).resolves.toBeUndefined(),
  )
})

import { Buffer } from 'node:buffer'
import type { AuthenticationInput, Authenticator, Challenge, Principal } from '@sallyport/core'
import { isChallenge, StorageUnavailableError } from '@sallyport/core'
import { exportSPKI, importJWK, SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BearerTokensOptions, bearerTokens } from '../../src/auth/bearer-tokens.ts'
import { createSigningKey, type LocalIssuer, type SigningKey, startLocalIssuer } from './local-issuer.ts'

const resource = 'https://mcp.example.com/mcp'
const start = 1_800_000_000_000
const seconds = start / 1000

let key: SigningKey
let local: LocalIssuer
beforeAll(async () => {
  key = await createSigningKey('k1')
  local = await startLocalIssuer({ keys: [key] })
})
afterAll(() => local.close())

function createAuthenticator(options: Partial<BearerTokensOptions> = {}): Authenticator {
  return bearerTokens({ issuer: local.issuer, now: () => start, ...options })
}

function call(token: string, url = resource): AuthenticationInput {
  return { method: 'POST', url, headers: { authorization: `Bearer ${token}` } }
}

const good = { aud: resource, exp: seconds + 600 }

function principalIn(result: Principal | Challenge): Principal {
  if (isChallenge(result)) throw new Error(`refused: ${result.description}`)
  return result
}

async function refusal(authenticator: Authenticator, token: string): Promise<Challenge> {
  const result = await authenticator.authenticate(call(token))
  if (!isChallenge(result)) throw new Error('was let in')
  // The canary rule: nothing of the credential comes back.
  for (const part of token.split('.').filter((piece) => piece.length > 8)) {
    expect(JSON.stringify(result)).not.toContain(part)
  }
  return result
}

describe('a token that is in order', () => {
  test('becomes a principal', async () => {
    const token = await local.sign(key, { ...good, scope: 'a b', roles: ['engineer'], client_id: 'ide' })
    expect(await createAuthenticator().authenticate(call(token))).toEqual({
      tenant: 'default',
      subject: 'ada',
      issuer: local.issuer,
      clientId: 'ide',
      roles: ['engineer'],
      scopes: ['a', 'b'],
      expiresAt: (good.exp + 5) * 1000,
    })
  })

  test('is known the second time without a promise, until it expires', async () => {
    let now = start
    const authenticator = createAuthenticator({ now: () => now })
    const token = await local.sign(key, { ...good, exp: seconds + 60 })
    const first = await authenticator.authenticate(call(token))
    expect(authenticator.authenticate(call(token))).toBe(first)
    now += 64_000
    expect(authenticator.authenticate(call(token))).toBe(first)
    now += 1_000
    expect(await authenticator.authenticate(call(token))).toMatchObject({
      error: 'invalid_token',
      description: 'The access token has expired',
    })
  })

  test('is verified again after five minutes, so that a withdrawn key does not live on', async () => {
    let now = start
    const withdrawn = await createSigningKey('withdrawn')
    const own = await startLocalIssuer({ keys: [withdrawn] })
    const authenticator = bearerTokens({ issuer: own.issuer, now: () => now })
    const token = await own.sign(withdrawn, { aud: resource, exp: seconds + 86_400 })
    principalIn(await authenticator.authenticate(call(token)))
    own.published = [key.publicJwk]
    now += 61 * 60_000
    expect(await authenticator.authenticate(call(token))).toMatchObject({
      status: 401,
      error: 'invalid_token',
    })
    await own.close()
  })

  test.each(['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'])('may be signed with %s', async (alg) => {
    const other = await createSigningKey(`key-${alg}`, alg)
    const token = await local.sign(other, good)
    const authenticator = createAuthenticator({ jwks: { keys: [{ ...other.publicJwk }] } })
    expect(principalIn(await authenticator.authenticate(call(token))).subject).toBe('ada')
  })

  test('may lack the key id where one of several keys fits', async () => {
    const keys = await Promise.all([createSigningKey('x'), createSigningKey('y')])
    const published = keys.map(({ publicJwk: { kid: _, ...rest } }) => ({ ...rest }))
    const authenticator = createAuthenticator({ jwks: { keys: published } })
    for (const one of keys) {
      const token = await local.sign(one, good, { kid: undefined })
      expect(principalIn(await authenticator.authenticate(call(token))).subject).toBe('ada')
    }
  })

  test('may use any case for the scheme, and typ JWT or none', async () => {
    const authenticator = createAuthenticator()
    for (const typ of ['JWT', 'application/at+jwt', 'AT+JWT', undefined]) {
      const token = await local.sign(key, good, { typ })
      const input = { method: 'POST', url: resource, headers: { authorization: `bEARER  ${token}` } }
      expect(principalIn(await authenticator.authenticate(input)).subject).toBe('ada')
    }
  })

  test('is taken with and without the slash of an empty path', async () => {
    const token = await local.sign(key, { ...good, aud: 'https://mcp.example.com/' })
    const authenticator = createAuthenticator()
    expect(isChallenge(await authenticator.authenticate(call(token, 'https://mcp.example.com')))).toBe(false)
    expect(isChallenge(await authenticator.authenticate(call(token, 'https://mcp.example.com/')))).toBe(false)
    expect(isChallenge(await authenticator.authenticate(call(token, 'https://mcp.example.com/mcp')))).toBe(
      true,
    )
  })

  test('keeps two tenants apart', async () => {
    const authenticator = createAuthenticator({ tenant: 'tid' })
    const [red, blue] = await Promise.all(
      ['red', 'blue'].map(async (tid) =>
        authenticator.authenticate(call(await local.sign(key, { ...good, tid }))),
      ),
    )
    expect(red).toMatchObject({ tenant: 'red', subject: 'ada' })
    expect(blue).toMatchObject({ tenant: 'blue', subject: 'ada' })
  })

  test('gives tenant and roles through functions', async () => {
    const authenticator = createAuthenticator({
      tenant: (claims) => `org:${String(claims['org'])}`,
      roles: (claims) => (claims['admin'] === true ? ['admin'] : []),
    })
    const token = await local.sign(key, { ...good, org: 7, admin: true })
    expect(await authenticator.authenticate(call(token))).toMatchObject({ tenant: 'org:7', roles: ['admin'] })
  })
})

describe('a token for another resource', () => {
  test('is refused, also when it is known', async () => {
    const authenticator = createAuthenticator()
    const token = await local.sign(key, { ...good, aud: 'https://mcp.example.com/mcp/files' })
    const files = call(token, 'https://mcp.example.com/mcp/files')
    expect(await refusal(authenticator, token)).toMatchObject({ status: 401, error: 'invalid_token' })
    expect(isChallenge(await authenticator.authenticate(files))).toBe(false)
    expect(isChallenge(await authenticator.authenticate(call(token)))).toBe(true)
    expect(
      isChallenge(await authenticator.authenticate(call(token, 'https://mcp.example.com/mcp/tickets'))),
    ).toBe(true)
  })

  test('is taken where the audience is given and fits', async () => {
    const authenticator = createAuthenticator({ audience: ['api://gateway', 'other'] })
    const token = await local.sign(key, { ...good, aud: ['x', 'api://gateway'] })
    expect(isChallenge(await authenticator.authenticate(call(token)))).toBe(false)
    const wrong = await local.sign(key, { ...good, aud: ['x', 'api://gateway2'] })
    expect(await refusal(authenticator, wrong)).toMatchObject({ status: 401, error: 'invalid_token' })
  })

  test.each([[[]], [''], [{}], [null], [[resource.toUpperCase()]], [`${resource}/`]])(
    'aud %j',
    async (aud) => {
      const token = await forge({ iss: local.issuer, sub: 'ada', exp: good.exp, aud })
      expect(await refusal(createAuthenticator(), token)).toMatchObject({
        status: 401,
        error: 'invalid_token',
      })
    },
  )
})

/** Signs claims that jose's types do not allow. */
function forge(claims: Record<string, unknown>): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: key.alg, kid: key.kid }).sign(key.privateKey)
}

describe('a forged or unfit token is refused', () => {
  test('alg none', async () => {
    const token = new UnsecuredJWT({ iss: local.issuer, sub: 'ada', ...good }).encode()
    expect(await refusal(createAuthenticator(), token)).toMatchObject({ status: 401, error: 'invalid_token' })
    expect(await refusal(createAuthenticator(), `${token}AAAA`)).toMatchObject({
      status: 401,
      error: 'invalid_token',
    })
  })

  test('HS256 with the public key as the secret', async () => {
    const rsa = await createSigningKey('rsa', 'RS256')
    const authenticator = createAuthenticator({ jwks: { keys: [{ ...rsa.publicJwk }] } })
    const publicKey = await importJWK(rsa.publicJwk, 'RS256', { extractable: true })
    if (publicKey instanceof Uint8Array) throw new Error('not a public key')
    for (const secret of [await exportSPKI(publicKey), JSON.stringify(rsa.publicJwk)]) {
      const token = await new SignJWT({ iss: local.issuer, sub: 'ada', ...good })
        .setProtectedHeader({ alg: 'HS256', kid: 'rsa' })
        .sign(Buffer.from(secret))
      expect(await refusal(authenticator, token)).toMatchObject({ status: 401, error: 'invalid_token' })
    }
  })

  test('another issuer, or one that differs by a slash', async () => {
    for (const iss of [
      'https://evil.example',
      `${local.issuer}/`,
      local.issuer.replace('127.0.0.1', 'localhost'),
    ]) {
      const token = await local.sign(key, { ...good, iss })
      expect(await refusal(createAuthenticator(), token)).toMatchObject({
        status: 401,
        error: 'invalid_token',
      })
    }
  })

  test('a key of one issuer does not sign for the other', async () => {
    const otherKey = await createSigningKey('k1')
    const other = await startLocalIssuer({ keys: [otherKey] })
    const authenticator = createAuthenticator({ issuer: [local.issuer, other.issuer] })
    expect(authenticator.metadata?.authorizationServers).toEqual([local.issuer, other.issuer])
    expect(isChallenge(await authenticator.authenticate(call(await other.sign(otherKey, good))))).toBe(false)
    expect(isChallenge(await authenticator.authenticate(call(await local.sign(key, good))))).toBe(false)
    const crossed = await other.sign(key, good)
    expect(await refusal(authenticator, crossed)).toMatchObject({ status: 401, error: 'invalid_token' })
    await other.close()
  })

  test('expired, not valid yet, without end', async () => {
    const authenticator = createAuthenticator({ clockToleranceSeconds: 0 })
    const expired = await local.sign(key, { ...good, exp: seconds })
    expect((await refusal(authenticator, expired)).description).toBe('The access token has expired')
    const early = await local.sign(key, { ...good, nbf: seconds + 1 })
    expect((await refusal(authenticator, early)).description).toBe('The access token is not valid yet')
    const endless = await local.sign(key, { aud: resource })
    expect(await refusal(authenticator, endless)).toMatchObject({ status: 401, error: 'invalid_token' })
    const stringly = await forge({ iss: local.issuer, sub: 'ada', aud: resource, exp: String(good.exp) })
    expect(await refusal(authenticator, stringly)).toMatchObject({ status: 401, error: 'invalid_token' })
  })

  test.each([undefined, '', 7, null, { a: 1 }])('subject %j', async (sub) => {
    const token = await forge({ iss: local.issuer, sub, ...good })
    expect(await refusal(createAuthenticator(), token)).toMatchObject({ status: 401, error: 'invalid_token' })
  })

  test.each([undefined, '', 7, null, ['a']])('tenant %j', async (tid) => {
    const token = await forge({ iss: local.issuer, sub: 'ada', tid, ...good })
    expect(await refusal(createAuthenticator({ tenant: 'tid' }), token)).toMatchObject({
      error: 'invalid_token',
    })
    expect(await refusal(createAuthenticator({ tenant: '__proto__' }), token)).toMatchObject({
      error: 'invalid_token',
    })
  })

  test('an ID token, a refresh token, a logout token, a token bound to a key', async () => {
    const authenticator = createAuthenticator()
    const kinds: [Record<string, unknown>, Record<string, unknown>][] = [
      [{ nonce: 'n' }, { typ: 'JWT' }],
      [{ at_hash: 'h' }, { typ: undefined }],
      [{ c_hash: 'h' }, { typ: 'JWT' }],
      [{ typ: 'ID' }, { typ: 'JWT' }],
      [{ typ: 'Refresh' }, { typ: 'JWT' }],
      [{ token_use: 'id' }, { typ: 'JWT' }],
      [{}, { typ: 'logout+jwt' }],
      [{}, { typ: 'dpop+jwt' }],
      [{}, { typ: 'id_token' }],
      [{ cnf: { jkt: 'x' } }, {}],
    ]
    for (const [claims, header] of kinds) {
      const token = await local.sign(key, { ...good, ...claims }, header)
      expect(await refusal(authenticator, token)).toMatchObject({ status: 401, error: 'invalid_token' })
    }
    // RFC 9068 access tokens may carry anything else.
    expect(
      isChallenge(await authenticator.authenticate(call(await local.sign(key, { ...good, nonce: 'n' })))),
    ).toBe(false)
  })

  test('a key in the header, or a place to get one from', async () => {
    const thief = await createSigningKey('thief')
    const bait = await startLocalIssuer({ keys: [thief] })
    const before = local.requests.length
    const authenticator = createAuthenticator({ jwks: { keys: [{ ...key.publicJwk }] } })
    const headers: Record<string, unknown>[] = [
      { jwk: thief.publicJwk },
      { jku: `${bait.issuer}/jwks` },
      { x5u: `${bait.issuer}/x5u` },
      { jwk: thief.publicJwk, kid: 'k1' },
      { kid: '../../dev/null' },
      { kid: '__proto__' },
    ]
    for (const header of headers) {
      const token = await local.sign(thief, good, header)
      expect(await refusal(authenticator, token)).toMatchObject({ status: 401, error: 'invalid_token' })
    }
    expect(bait.requests).toEqual([])
    expect(local.requests.length).toBe(before)
    await bait.close()
  })

  test('an unknown critical header', async () => {
    // jose signs no critical header that it does not know; a foreign signer would.
    const header = Buffer.from(JSON.stringify({ alg: 'ES256', kid: 'k1', crit: ['x'], x: 1 })).toString(
      'base64url',
    )
    const payload = (await local.sign(key, good)).split('.')[1]
    const signature = await crypto.subtle.sign(
      { name: 'ECDSA', hash: 'SHA-256' },
      key.privateKey,
      Buffer.from(`${header}.${payload}`),
    )
    const token = `${header}.${payload}.${Buffer.from(signature).toString('base64url')}`
    expect(await refusal(createAuthenticator(), token)).toMatchObject({ status: 401, error: 'invalid_token' })
  })

  test('a changed payload or signature, of a token that is known', async () => {
    const authenticator = createAuthenticator()
    const token = await local.sign(key, good)
    principalIn(await authenticator.authenticate(call(token)))
    const [header, , signature] = token.split('.')
    const payload = Buffer.from(JSON.stringify({ iss: local.issuer, sub: 'root', ...good })).toString(
      'base64url',
    )
    expect(await refusal(authenticator, `${header}.${payload}.${signature}`)).toMatchObject({
      error: 'invalid_token',
    })
    expect(await refusal(authenticator, `${token.slice(0, -4)}AAAA`)).toMatchObject({
      error: 'invalid_token',
    })
  })

  test('garbage, a huge token, five parts', async () => {
    const authenticator = createAuthenticator()
    const token = await local.sign(key, { ...good, pad: 'x'.repeat(20_000) })
    const garbage = [
      'x',
      '..',
      'a.b',
      'a.b.c',
      'a.b.c.d.e',
      `${token}=`,
      `${token} ${token}`,
      token,
      '\u0000',
      'é.é.é',
    ]
    for (const bad of garbage) {
      expect(await refusal(authenticator, bad)).toMatchObject({ status: 401, error: 'invalid_token' })
    }
  })
})

describe('what the client is told', () => {
  test('nothing is wrong where no token came', async () => {
    const authenticator = createAuthenticator({ requiredScopes: ['mcp:use'] })
    const inputs: AuthenticationInput[] = [
      { method: 'POST', url: resource, headers: {} },
      { method: 'POST', url: resource, headers: { authorization: 'Basic YTpi' } },
      { method: 'POST', url: resource, headers: { authorization: '' } },
      { method: 'POST', url: resource, headers: { authorization: 'Bearer' } },
    ]
    for (const input of inputs)
      expect(authenticator.authenticate(input)).toEqual({ status: 401, scopes: ['mcp:use'] })
    expect(authenticator.metadata).toEqual({
      authorizationServers: [local.issuer],
      scopesSupported: ['mcp:use'],
    })
  })

  test('a token in the query string is not looked at', async () => {
    const token = await local.sign(key, good)
    const authenticator = createAuthenticator()
    const input = { method: 'POST', url: `${resource}?access_token=${token}`, headers: {} }
    expect(await authenticator.authenticate(input)).toEqual({ status: 401 })
  })

  test('a repeated header is ambiguous', async () => {
    const token = await local.sign(key, good)
    const headers = { authorization: [`Bearer ${token}`, `Bearer ${token}`] }
    expect(
      await createAuthenticator().authenticate({ method: 'POST', url: resource, headers }),
    ).toMatchObject({
      status: 401,
      error: 'invalid_request',
    })
  })

  test('all scopes that are needed', async () => {
    const authenticator = createAuthenticator({ requiredScopes: ['a', 'b'] })
    const token = await local.sign(key, { ...good, scp: ['b', 'c'] })
    for (let round = 0; round < 2; round++) {
      expect(await refusal(authenticator, token)).toEqual({
        status: 403,
        error: 'insufficient_scope',
        description: 'The access token lacks a scope',
        scopes: ['a', 'b'],
      })
    }
    const enough = await local.sign(key, { ...good, scope: 'a b' })
    expect(isChallenge(await authenticator.authenticate(call(enough)))).toBe(false)
  })
})

describe('the keys of the issuer', () => {
  test('are fetched once for many callers, when the first one comes', async () => {
    const own = await startLocalIssuer({ keys: [key] })
    const authenticator = bearerTokens({ issuer: own.issuer, now: () => start })
    expect(own.requests).toEqual([])
    const tokens = await Promise.all(
      Array.from({ length: 20 }, (_, n) => own.sign(key, { ...good, sub: `user-${n}` })),
    )
    const results = await Promise.all(tokens.map(async (token) => authenticator.authenticate(call(token))))
    expect(results.every((result) => !isChallenge(result))).toBe(true)
    expect(own.requests).toEqual(['/.well-known/oauth-authorization-server', '/jwks'])
    await own.close()
  })

  test('are found by every way of discovery, in order', async () => {
    const own = await startLocalIssuer({ path: '/tenant/7', keys: [key] })
    const origin = new URL(own.issuer).origin
    const document = JSON.stringify({ issuer: own.issuer, jwks_uri: `${origin}/jwks` })
    const paths = [
      '/.well-known/oauth-authorization-server/tenant/7',
      '/.well-known/openid-configuration/tenant/7',
      '/tenant/7/.well-known/openid-configuration',
    ]
    const token = await own.sign(key, good)
    for (const [index, path] of paths.entries()) {
      own.answers.clear()
      own.requests.length = 0
      for (const other of paths) own.answers.set(other, { status: 404, body: 'no' })
      own.answers.set(path, { body: document })
      const authenticator = bearerTokens({ issuer: own.issuer, now: () => start })
      expect(isChallenge(await authenticator.authenticate(call(token)))).toBe(false)
      expect(own.requests).toEqual([...paths.slice(0, index + 1), '/jwks'])
    }
    await own.close()
  })

  test('are not taken from metadata of another issuer, from a page, or from a place that is not safe', async () => {
    const own = await startLocalIssuer({ keys: [key] })
    const token = await own.sign(key, good)
    const bodies = [
      JSON.stringify({ issuer: `${own.issuer}/`, jwks_uri: `${own.issuer}/jwks` }),
      '<html>',
      JSON.stringify({ issuer: own.issuer, jwks_uri: 'http://keys.example/jwks' }),
      JSON.stringify({ issuer: own.issuer, jwks_uri: 'file:///etc/passwd' }),
      JSON.stringify({ issuer: own.issuer }),
      '[]',
      '{',
    ]
    for (const body of bodies) {
      own.answers.set('/.well-known/oauth-authorization-server', { body })
      const authenticator = bearerTokens({ issuer: own.issuer, now: () => start })
      await expect(Promise.resolve(authenticator.authenticate(call(token)))).rejects.toThrow(
        StorageUnavailableError,
      )
    }
    expect(own.requests).not.toContain('/jwks')
    await own.close()
  })

  test('that cannot be read let nobody in, and are not asked for all the time', async () => {
    let now = start
    const own = await startLocalIssuer({ keys: [key] })
    const token = await own.sign(key, good)
    const authenticator = bearerTokens({ issuer: own.issuer, jwks: `${own.issuer}/jwks`, now: () => now })
    own.answers.set('/jwks', { status: 500, body: 'down' })
    for (let round = 0; round < 10; round++) {
      const failure = await Promise.resolve(authenticator.authenticate(call(token))).catch(
        (error: unknown) => error,
      )
      expect(failure).toBeInstanceOf(StorageUnavailableError)
      expect(String(failure)).not.toContain(token.split('.')[1])
    }
    expect(own.requests).toEqual(['/jwks'])
    own.answers.clear()
    now += 2_000
    expect(isChallenge(await authenticator.authenticate(call(token)))).toBe(false)
    await own.close()
    const gone = bearerTokens({ issuer: own.issuer, now: () => start })
    await expect(Promise.resolve(gone.authenticate(call(token)))).rejects.toThrow(StorageUnavailableError)
  })

  test('may rotate; made-up key ids do not make us hammer the issuer', async () => {
    let now = start
    const own = await startLocalIssuer({ keys: [key] })
    const authenticator = bearerTokens({ issuer: own.issuer, now: () => now })
    principalIn(await authenticator.authenticate(call(await own.sign(key, good))))
    const fetches = () => own.requests.filter((path) => path === '/jwks').length
    expect(fetches()).toBe(1)
    for (let flood = 0; flood < 50; flood++) {
      const token = await own.sign(key, good, { kid: `made-up-${flood}` })
      expect(await refusal(authenticator, token)).toMatchObject({ status: 401, error: 'invalid_token' })
    }
    expect(fetches()).toBe(1)

    const next = await createSigningKey('k2')
    own.published = [key.publicJwk, next.publicJwk]
    const token = await own.sign(next, good)
    expect(isChallenge(await authenticator.authenticate(call(token)))).toBe(true)
    now += 30_000
    expect(isChallenge(await authenticator.authenticate(call(token)))).toBe(false)
    expect(fetches()).toBe(2)
    await own.close()
  })

  test('serve for an hour when the issuer is down, and no longer', async () => {
    let now = start
    const own = await startLocalIssuer({ keys: [key] })
    const token = await own.sign(key, { ...good, exp: seconds + 86_400 })
    const authenticator = bearerTokens({ issuer: own.issuer, now: () => now })
    principalIn(await authenticator.authenticate(call(token)))
    own.answers.set('/jwks', { status: 500, body: 'down' })
    for (const minutes of [11, 30, 59]) {
      now = start + minutes * 60_000
      principalIn(await authenticator.authenticate(call(token)))
    }
    now = start + 65 * 60_000
    await expect(Promise.resolve(authenticator.authenticate(call(token)))).rejects.toThrow(
      StorageUnavailableError,
    )
    await own.close()
  })

  test('come as a document of reasonable size, without redirects', async () => {
    const own = await startLocalIssuer({ keys: [key] })
    const token = await own.sign(key, good)
    own.answers.set('/jwks', { body: JSON.stringify({ keys: [], pad: 'x'.repeat(2_000_000) }) })
    const huge = bearerTokens({ issuer: own.issuer, now: () => start })
    await expect(Promise.resolve(huge.authenticate(call(token)))).rejects.toThrow(/longer than/)
    const redirecting = bearerTokens({
      issuer: own.issuer,
      now: () => start,
      fetch: async (_url, init) => {
        expect(init?.redirect).toBe('error')
        throw new TypeError('redirected')
      },
    })
    await expect(Promise.resolve(redirecting.authenticate(call(token)))).rejects.toThrow(/redirected/)
    await own.close()
  })
})

describe('options are checked at once', () => {
  const issuer = 'https://issuer.example'
  test.each<[string, Record<string, unknown>]>([
    ['no issuer', {}],
    ['an empty list of issuers', { issuer: [] }],
    ['an issuer without TLS', { issuer: 'http://issuer.example' }],
    ['an issuer with a password', { issuer: 'https://a:b@issuer.example' }],
    ['HS256', { issuer, algorithms: ['HS256'] }],
    ['none', { issuer, algorithms: ['none'] }],
    ['no algorithm', { issuer, algorithms: [] }],
    ['a misspelled option', { issuer, audiance: 'x' }],
    ['an empty audience', { issuer, audience: '' }],
    ['a symmetric key', { issuer, jwks: { keys: [{ kty: 'oct', k: 'canary-secret' }] } }],
    ['a private key', { issuer, jwks: { keys: [{ kty: 'EC', d: 'canary-secret' }] } }],
    ['a key set without TLS', { issuer, jwks: 'http://issuer.example/jwks' }],
    ['a tolerance of an hour', { issuer, clockToleranceSeconds: 3600 }],
    ['a scope with a space', { issuer, requiredScopes: ['a b'] }],
  ])('%s', (_, options) => {
    let message = ''
    try {
      bearerTokens(JSON.parse(JSON.stringify(options)))
    } catch (error) {
      message = String(error)
    }
    expect(message).toMatch(/^ConfigError: bearerTokens/)
    expect(message).not.toContain('canary-secret')
  })
})

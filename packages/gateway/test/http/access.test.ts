import { afterAll, describe, expect, test } from 'vitest'
import { type Authenticator, type Challenge, ConfigError } from '@sallyport/core'
import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { createGateway } from '../../src/index.ts'
import { at, send, sendRaw } from './client.ts'
import {
  collectingLogger,
  namedCallers,
  startGateway,
  startLocalAndPublished,
  tokenMetadata,
} from './gateway.ts'
import { callTool, jsonHeaders, modern } from './messages.ts'

const { server, servers, local, published, close } = await startLocalAndPublished()
afterAll(close)

const ada = { 'x-subject': 'ada' }
const as = (subject: string, request: { headers: Record<string, string>; body: string }) => ({
  ...request,
  headers: { ...request.headers, 'x-subject': subject },
})

test.each([
  ['tokens and no publicUrl: one warning that says what to do', {}, tokenMetadata, 1],
  ['a publicUrl: none', { publicUrl: 'https://mcp.example.com/mcp' }, tokenMetadata, 0],
  ['no tokens: none', {}, undefined, 0],
])('%s', async (_, options, described, expected) => {
  const logger = collectingLogger()
  const authenticate = namedCallers(described === undefined ? {} : { metadata: described })
  const gateway = createGateway({ servers: {}, authenticate, logger, ...options })
  const warnings = logger.lines.filter(({ level }) => level === 'warn').map(({ message }) => message)
  expect(warnings.filter((message) => message.includes('publicUrl'))).toHaveLength(expected)
  await gateway.close()
})

describe('Host and Origin', () => {
  const call = (headers: Record<string, string>) => ({
    ...modern('tools/list'),
    headers: { ...modern('tools/list').headers, ...ada, ...headers },
  })

  test.each([
    ['evil.example.com', undefined],
    ['127.0.0.1.evil.example.com', undefined],
    ['localhost.evil.example.com:80', undefined],
    ['evil.example.com:127', undefined],
    ['127.0.0.1@evil.example.com', undefined],
    ['evil.example.com#@127.0.0.1', undefined],
    ['127.0.0.1/evil.example.com', undefined],
    ['127.0.0.1:1/x', undefined],
    ['127.0.0.1?evil', undefined],
    ['user:pass@127.0.0.1', undefined],
    ['mcp.example.com', undefined],
    ['[::1]evil', undefined],
    ['127.0.0.1', 'http://evil.example.com'],
    ['127.0.0.1', 'null'],
    ['127.0.0.1', ''],
    ['127.0.0.1', 'file://'],
    ['127.0.0.1', 'http://127.0.0.1.evil.example.com'],
    ['127.0.0.1', 'http://127.0.0.1@evil.example.com'],
    ['127.0.0.1', 'http://evil.example.com, http://127.0.0.1'],
    ['127.0.0.1', 'chrome-extension://abcdef'],
    ['evil.example.com', 'http://127.0.0.1'],
  ])('Host %j, Origin %j: 403 before anything else', async (host, origin) => {
    for (const method of ['POST', 'GET', 'DELETE', 'OPTIONS']) {
      const answer = await send(local.url, {
        ...call({ host, ...(origin !== undefined && { origin }) }),
        method,
      })
      expect(answer.status).toBe(403)
      expect(answer.headers['access-control-allow-origin']).toBeUndefined()
      expect(at(answer.json, 'error', 'code')).toBe(-32600)
    }
  })

  test.each([
    ['127.0.0.1:1234', undefined],
    ['localhost', undefined],
    ['LOCALHOST:80', undefined],
    ['[::1]:3000', undefined],
    ['localhost', 'http://localhost:6274'],
    ['127.0.0.1', 'https://[::1]:1'],
  ])('Host %j, Origin %j: fine', async (host, origin) => {
    const answer = await send(local.at('m'), call({ host, ...(origin !== undefined && { origin }) }))
    expect(answer.status).toBe(200)
    expect(answer.headers['access-control-allow-origin']).toBe(origin)
  })

  test.each([
    ['mcp.example.com', 'https://mcp.example.com', 200],
    ['mcp.example.com', 'https://app.example.com', 200],
    ['internal.example.com:8443', 'https://app.example.com', 200],
    ['mcp.example.com', 'http://mcp.example.com', 403],
    ['mcp.example.com', 'https://mcp.example.com:8443', 403],
    ['mcp.example.com', 'http://localhost', 403],
    ['mcp.example.com', 'https://app.example.com.evil.com', 403],
    ['internal.example.com', undefined, 403],
    ['mcp.example.com:444', undefined, 403],
  ])('with a public URL: Host %j, Origin %j: %i', async (host, origin, status) => {
    const url = `${published.origin}/gate/mcp/m`
    expect((await send(url, call({ host, ...(origin !== undefined && { origin }) }))).status).toBe(status)
  })

  test('a request without Host', async () => {
    expect(await sendRaw(local.port, 'POST /mcp HTTP/1.1\r\nConnection: close\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 400/,
    )
    expect(await sendRaw(local.port, 'POST /mcp HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 40[03]/,
    )
    expect(await sendRaw(local.port, 'POST /mcp HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 403/)
    const two = 'POST /mcp HTTP/1.1\r\nHost: evil.example.com\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'
    expect(await sendRaw(local.port, two)).toMatch(/^HTTP\/1\.1 40[03]/)
  })

  test('a preflight is answered without authentication, for pages that may call', async () => {
    const preflight = {
      method: 'OPTIONS',
      headers: {
        origin: 'http://localhost:6274',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type, mcp-session-id, x-"<script>',
      },
    }
    const answer = await send(local.at('m'), preflight)
    expect(answer.status).toBe(204)
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': 'http://localhost:6274',
      'access-control-allow-headers': 'content-type, mcp-session-id, x-script',
      vary: 'Origin',
    })
    expect(answer.headers['access-control-allow-methods']).toContain('DELETE')
    expect(answer.headers['access-control-allow-credentials']).toBeUndefined()
    const refusal = await send(local.at('m'), {
      method: 'POST',
      headers: { ...jsonHeaders, origin: 'http://localhost' },
      body: '{',
    })
    expect(refusal.status).toBe(401)
    expect(refusal.headers['access-control-expose-headers']).toContain('www-authenticate')
  })
})

describe('who is not let in', () => {
  const challenged = async (challenge: Challenge, options: Partial<Authenticator> = {}) => {
    const audit = createMemoryAuditRecorder()
    const own = await startGateway({
      servers: servers(),
      audit,
      authenticate: { authenticate: () => challenge, ...options },
    })
    const answer = await send(own.at('m'), callTool('echo'))
    await own.close()
    expect(audit.entries()).toMatchObject([{ intent: { kind: 'invalid' }, outcome: { status: 'refused' } }])
    return answer
  }

  test('is told where to get a token for this very server', async () => {
    const single = await send(local.at('m'), callTool('echo'))
    expect(single.status).toBe(401)
    expect(single.headers['www-authenticate']).toBe(
      `Bearer resource_metadata="${local.origin}/.well-known/oauth-protected-resource/mcp/m"`,
    )
    expect(at(single.json, 'error', 'data', 'code')).toBe('ERR_UNAUTHENTICATED')
    expect(at(single.json, 'id')).toBeUndefined()
    const all = await send(local.url, callTool('echo'))
    expect(all.headers['www-authenticate']).toContain(
      `"${local.origin}/.well-known/oauth-protected-resource/mcp"`,
    )
    const host = { host: 'mcp.example.com' }
    const outside = await send(`${published.origin}/gate/mcp/m`, {
      ...callTool('echo'),
      headers: { ...callTool('echo').headers, ...host },
    })
    expect(outside.headers['www-authenticate']).toBe(
      'Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/gate/mcp/m"',
    )
  })

  test('with a status and an error of the right kind', async () => {
    const invalid = await challenged({
      status: 401,
      error: 'invalid_token',
      description: 'expired "now"\r\nX-Evil: 1',
    })
    expect(invalid.status).toBe(401)
    expect(invalid.headers['www-authenticate']).toBe(
      'Bearer error="invalid_token", error_description="expired \'now\'\'\'X-Evil: 1"',
    )
    expect(invalid.headers['x-evil']).toBeUndefined()
    const scopes = await challenged(
      { status: 403, error: 'insufficient_scope', scopes: ['a', 'b'] },
      { metadata: tokenMetadata },
    )
    expect(scopes.status).toBe(403)
    expect(scopes.headers['www-authenticate']).toMatch(
      /^Bearer error="insufficient_scope", scope="a b", resource_metadata="http:/,
    )
    expect(at(scopes.json, 'error', 'data', 'code')).toBe('ERR_FORBIDDEN')
    expect((await challenged({ status: 403 })).headers['www-authenticate']).toBe('Bearer')
  })

  test('whatever the request is, the body is not looked at first', async () => {
    for (const method of ['POST', 'GET', 'DELETE', 'PUT', 'HEAD']) {
      expect((await send(local.at('m'), { method, body: method === 'POST' ? '{' : '' })).status).toBe(401)
    }
  })

  test('a token in the query is none', async () => {
    for (const query of ['?access_token=ada', '?x-subject=ada', '?token=ada&x=%00']) {
      expect((await send(local.at('m') + query, callTool('echo'))).status).toBe(401)
    }
    expect((await send(`${local.at('m')}?any=1`, as('ada', modern('tools/list')))).status).toBe(200)
    expect(server.arrived.at(-1)?.path).toBe('/mcp')
  })

  test.each<[string, Authenticator['authenticate']]>([
    ['a rejection', () => Promise.reject(new Error('token-secret'))],
    [
      'a throw',
      () => {
        throw new Error('token-secret')
      },
    ],
    ['no tenant', () => ({ tenant: '', subject: 'x', roles: [], scopes: [] })],
    ['no subject', async () => ({ tenant: 'x', subject: '', roles: [], scopes: [] })],
    ['nonsense', () => JSON.parse('null')],
    ['nonsense later', () => Promise.resolve(JSON.parse('7'))],
  ])('an authenticator that fails with %s lets nobody in: 503', async (_, authenticate) => {
    const logger = collectingLogger()
    const own = await startGateway({ servers: servers(), authenticate: { authenticate }, logger })
    const before = server.arrived.length
    const answer = await send(own.at('m'), callTool('echo'))
    expect(answer.status).toBe(503)
    expect(answer.text).not.toContain('token-secret')
    expect(logger.lines.some(({ level }) => level === 'error')).toBe(true)
    expect(server.arrived).toHaveLength(before)
    await own.close()
  })
})

describe('protected resource tokenMetadata (RFC 9728)', () => {
  const path = '/.well-known/oauth-protected-resource'
  test.each([
    [`${path}/mcp`, '/mcp'],
    [path, '/mcp'],
    [`${path}/mcp/m`, '/mcp/m'],
    [`${path}/mcp/l`, '/mcp/l'],
  ])('%s', async (from, resource) => {
    const answer = await send(local.origin + from, { method: 'GET' })
    expect(answer.status).toBe(200)
    expect(answer.json).toMatchObject({
      resource: local.origin + resource,
      authorization_servers: ['https://login.example.com'],
      scopes_supported: ['mcp'],
      bearer_methods_supported: ['header'],
    })
  })

  test('with a public URL the resource is that URL', async () => {
    const get = (from: string) =>
      send(published.origin + from, { method: 'GET', headers: { host: 'mcp.example.com' } })
    const resource = 'https://mcp.example.com/gate/mcp'
    expect(at((await get(`${path}/gate/mcp`)).json, 'resource')).toBe(resource)
    expect(at((await get(`${path}/gate/mcp/m`)).json, 'resource')).toBe(`${resource}/m`)
    expect((await get(`${path}/mcp`)).status).toBe(404)
  })

  test.each([`${path}/other`, `${path}/mcp/none`, `${path}/mcp/m/x`, `${path}x`, `${path}/mcp/%ff`])(
    '%s is nowhere',
    async (from) => {
      expect((await send(local.origin + from, { method: 'GET' })).status).toBe(404)
    },
  )

  test('is there for reading only', async () => {
    for (const method of ['POST', 'DELETE', 'PUT']) {
      const answer = await send(local.origin + path, { method })
      expect(answer.status).toBe(405)
      expect(answer.headers.allow).toContain('GET')
    }
    expect((await send(local.origin + path, { method: 'HEAD' })).status).toBe(200)
    const preflight = await send(local.origin + path, {
      method: 'OPTIONS',
      headers: { origin: 'http://localhost:1' },
    })
    expect(preflight.status).toBe(204)
    expect(preflight.headers['access-control-allow-origin']).toBe('http://localhost:1')
  })

  test('a gateway without authorization server has none', async () => {
    const open = await startGateway({ servers: servers() })
    expect((await send(open.origin + path, { method: 'GET' })).status).toBe(404)
    await open.close()
  })
})

describe('where the gateway is mounted', () => {
  test('at the root of its host', async () => {
    const own = await startGateway({
      servers: servers(),
      publicUrl: 'https://mcp.example.com',
      authenticate: namedCallers({ metadata: tokenMetadata }),
    })
    await own.gateway.ready()
    const host = { host: 'mcp.example.com' }
    const call = (path: string, headers: Record<string, string>) =>
      send(own.origin + path, {
        ...modern('tools/list'),
        headers: { ...modern('tools/list').headers, ...host, ...headers },
      })
    expect((await call('/m', ada)).status).toBe(200)
    expect((await call('/', ada)).status).toBe(200)
    expect((await call('/none', ada)).status).toBe(404)
    const meta = 'https://mcp.example.com/.well-known/oauth-protected-resource'
    expect((await call('/', {})).headers['www-authenticate']).toBe(`Bearer resource_metadata="${meta}"`)
    expect((await call('/m', {})).headers['www-authenticate']).toBe(`Bearer resource_metadata="${meta}/m"`)
    const get = (path: string) => send(own.origin + path, { method: 'GET', headers: host })
    const wellKnown = '/.well-known/oauth-protected-resource'
    expect(at((await get(wellKnown)).json, 'resource')).toBe('https://mcp.example.com/')
    expect(at((await get(`${wellKnown}/m`)).json, 'resource')).toBe('https://mcp.example.com/m')
    await own.close()
  })

  test.each(['ä', '&=+', '%41', 'a b', 'a?b', 'a#b', 'a\\b', ';', '"', '<script>'])(
    'a server named %j has one path and is one resource',
    async (name) => {
      const own = await startGateway({
        servers: { [name]: { url: server.url } },
        authenticate: namedCallers({ metadata: tokenMetadata }),
      })
      const url = own.at(encodeURIComponent(name))
      expect((await send(url, as('ada', modern('tools/list')))).status).toBe(200)
      expect((await send(`${url}x`, as('ada', modern('tools/list')))).status).toBe(404)
      const { headers } = await send(url, modern('tools/list'))
      const where = /resource_metadata="([^"]+)"/.exec(headers['www-authenticate'] ?? '')?.[1] ?? ''
      expect(at((await send(where, { method: 'GET' })).json, 'resource')).toBe(url)
      await own.close()
    },
  )

  test.each(['.', '..', '', 'a/b', 'a\nb', 'a\u2028b', '\ud800', 'x'.repeat(65)])(
    '%j is no name for a server',
    (name) => {
      expect(() => createGateway({ servers: { [name]: { url: server.url } } })).toThrow(ConfigError)
    },
  )
})

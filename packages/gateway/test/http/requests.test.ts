import { afterAll, describe, expect, test } from 'vitest'
import { type Principal } from '@sallyport/core'
import { at, openEvents, send, sendRaw, until } from './client.ts'
import { namedCallers, startGateway, startLocalAndPublished } from './gateway.ts'
import { callTool, jsonHeaders, modern, openSession } from './messages.ts'

const { servers, local, close } = await startLocalAndPublished()
afterAll(close)

const ada = { 'x-subject': 'ada' }
const as = (subject: string, request: { headers: Record<string, string>; body: string }) => ({
  ...request,
  headers: { ...request.headers, 'x-subject': subject },
})

describe('what a request has to look like', () => {
  test.each([
    ['/', 404],
    ['/mcp/none', 404],
    ['/mcp/m/x', 404],
    ['/mcp/..', 404],
    ['/mcp/%6d', 200],
    ['/mcp/m%2f', 404],
    ['/mcp/%zz', 404],
    ['/MCP/m', 404],
    ['//mcp/m', 404],
  ])('the path %s: %i', async (path, status) => {
    const { headers, body } = as('ada', modern('tools/list'))
    const lines = Object.entries({ ...headers, 'content-length': String(body.length) }).map(
      ([name, value]) => `${name}: ${value}`,
    )
    const text = await sendRaw(
      local.port,
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${lines.join('\r\n')}\r\n\r\n${body}`,
    )
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  })

  test.each(['PUT', 'PATCH', 'HEAD', 'TRACE', 'PROPFIND'])('%s: 405', async (method) => {
    const answer = await send(local.at('m'), { method, headers: ada })
    expect(answer.status).toBe(405)
    expect(answer.headers.allow).toContain('POST')
  })

  test('GET without a session: 405', async () => {
    const answer = await send(local.at('m'), {
      method: 'GET',
      headers: { ...ada, accept: 'text/event-stream' },
    })
    expect(answer.status).toBe(405)
  })

  test.each([
    ['text/plain', 415],
    ['application/jsonp', 415],
    ['', 415],
    ['application/json-patch+json', 415],
    ['multipart/form-data; boundary=application/json', 415],
    ['APPLICATION/JSON; charset=utf-8', 200],
    ['application/json;charset=utf-8', 200],
  ])('Content-Type %j: %i', async (type, status) => {
    const request = as('ada', modern('tools/list'))
    expect(
      (await send(local.at('m'), { ...request, headers: { ...request.headers, 'content-type': type } }))
        .status,
    ).toBe(status)
  })

  test.each([
    ['image/png', 406],
    ['*/*', 200],
    ['application/json', 200],
    ['Application/JSON, Text/Event-Stream', 200],
    ['text/*, application/*', 200],
  ])('Accept %j: %i', async (accept, status) => {
    const request = as('ada', modern('tools/list'))
    expect((await send(local.at('m'), { ...request, headers: { ...request.headers, accept } })).status).toBe(
      status,
    )
    const opening = {
      headers: { ...jsonHeaders, ...ada, accept },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' }),
    }
    const opened = await send(local.at('l'), opening)
    expect(opened.status).toBe(status === 406 ? 406 : 400)
    const says = 'the Accept header must list application/json or text/event-stream, best both'
    if (status === 406) expect(at(opened.json, 'error', 'message')).toBe(says)
  })

  test('a client that takes streams only gets a stream', async () => {
    const request = as('ada', callTool('echo'))
    const answer = await send(local.at('m'), {
      ...request,
      headers: { ...request.headers, accept: 'text/event-stream' },
    })
    expect(answer.headers['content-type']).toBe('text/event-stream')
    expect(answer.text).toContain('"result"')
  })

  test('headers beyond the limit: 431', async () => {
    const own = await startGateway(
      { servers: servers(), limits: { headerBytes: 8_000 } },
      { maxHeaderSize: 65_536 },
    )
    const with_ = (bytes: number) =>
      send(own.at('m'), {
        ...modern('tools/list'),
        headers: { ...modern('tools/list').headers, 'x-pad': 'x'.repeat(bytes) },
      })
    expect((await with_(6_000)).status).toBe(200)
    expect((await with_(8_000)).status).toBe(431)
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`x-${index}`, 'x'.repeat(20)]))
    expect(
      (
        await send(own.at('m'), {
          ...modern('tools/list'),
          headers: { ...modern('tools/list').headers, ...many },
        })
      ).status,
    ).toBe(431)
    await own.close()
  })
})

describe('streams of one caller', () => {
  test('are counted: 429 beyond the limit, and a place is free when one ends', async () => {
    const own = await startGateway({
      servers: servers(),
      limits: { streamsPerPrincipal: 2 },
      authenticate: namedCallers(),
    })
    await own.gateway.ready()
    const first = await openSession(own.at('l'), { headers: ada })
    const second = await openSession(own.at('l'), { headers: ada })
    const third = await openSession(own.at('l'), { headers: ada })
    const one = await first.listen()
    const two = await second.listen()
    expect([one.status, two.status]).toEqual([200, 200])
    expect((await third.listen()).status).toBe(429)
    const listening = as('ada', modern('subscriptions/listen', { notifications: {} }, 'x'))
    const refused = await send(own.at('m'), listening)
    expect(refused.status).toBe(429)
    expect(at(refused.json, 'id')).toBe('x')
    const bob = await openSession(own.at('l'), { headers: { 'x-subject': 'bob' } })
    const other = await bob.listen()
    expect(other.status).toBe(200)
    one.hangUp()
    let free = await third.listen()
    const limit = performance.now() + 5_000
    while (free.status === 429 && performance.now() < limit) free = await third.listen()
    expect(free.status).toBe(200)
    // a second GET of the same session takes the place of the first
    const again = await third.listen()
    expect([200, 429]).toContain(again.status)
    for (const stream of [two, other, free, again]) stream.hangUp()
    await own.close()
  })

  test('a subscription that was refused takes no place', async () => {
    const own = await startGateway({ servers: servers(), limits: { streamsPerPrincipal: 1 } })
    await own.gateway.ready()
    const good = modern('subscriptions/listen', { notifications: {} })
    const { ['mcp-method']: _, ...incomplete } = good.headers
    for (let count = 0; count < 3; count++) {
      expect((await send(own.at('m'), { ...good, headers: incomplete })).status).toBe(400)
      expect((await send(own.at('m'), { ...good, headers: { ...good.headers, accept: 'x/y' } })).status).toBe(
        406,
      )
    }
    expect((await send(own.at('m'), good)).status).toBe(200)
    await own.close()
  })

  test('sessions of one caller are counted as well', async () => {
    const own = await startGateway({
      servers: servers(),
      limits: { sessionsPerPrincipal: 2 },
      authenticate: namedCallers(),
    })
    const first = await openSession(own.at('l'), { headers: ada })
    await openSession(own.at('l'), { headers: ada })
    await expect(openSession(own.at('l'), { headers: ada })).rejects.toThrow('HTTP 429')
    await openSession(own.at('l'), { headers: { 'x-subject': 'bob' } })
    await send(first.url, { method: 'DELETE', headers: first.headers })
    await openSession(own.at('l'), { headers: ada })
    await own.close()
  })

  test('end when the proof of identity does', async () => {
    let expiresAt = Date.now() + 60_000
    const caller = (): Principal => ({ tenant: 't', subject: 's', roles: [], scopes: [], expiresAt })
    const own = await startGateway({ servers: servers(), authenticate: { authenticate: caller } })
    await own.gateway.ready()
    const session = await openSession(own.at('l'))
    expiresAt = Date.now() + 50
    const stream = await session.listen()
    expect(stream.status).toBe(200)
    let ended = false
    void stream.message().then(() => (ended = true))
    const listening = await openEvents(own.at('m'), modern('subscriptions/listen', { notifications: {} }))
    let listeningEnded = false
    void listening.message().then(() => (listeningEnded = true))
    await until(() => ended, 'the stream of the session has ended')
    await until(() => listeningEnded, 'the subscription has ended')
    await own.close()
  })
})

test('liveness and readiness answer everybody', async () => {
  const own = await startGateway({ servers: servers(), authenticate: namedCallers() })
  const get = (path: string) =>
    send(own.origin + path, { method: 'GET', headers: { host: 'probe.internal' } })
  expect([(await get('/livez')).status, (await get('/readyz')).status]).toEqual([200, 200])
  await own.gateway.close({ deadlineMs: 0 })
  expect([(await get('/livez')).status, (await get('/readyz')).status]).toEqual([503, 503])
  await own.close()
})

import { afterAll, describe, expect, test } from 'vitest'
import { createGateway } from '../../src/index.ts'
import { at, send, until } from './client.ts'
import { startGateway, startPlanned } from './gateway.ts'
import { callTool, jsonHeaders, openSession, responseIn } from './messages.ts'
import { type Exchange, startHandmade } from './upstream.ts'

const { modernServer, legacyServer, running, plan, answered, nextCase, close } = await startPlanned()
afterAll(close)

describe('what a server wants the gateway to do', () => {
  test('redirects are not followed', async () => {
    const other = await startHandmade()
    for (const status of [301, 302, 303, 307, 308]) {
      const answer = await answered((exchange) =>
        exchange.response.writeHead(status, { location: other.url }).end(),
      )
      expect(at(answer.json, 'error', 'data', 'code')).toBe('ERR_UPSTREAM_PROTOCOL')
    }
    expect(other.all).toEqual([])
    await other.close()
  })

  test('a list that never ends is left off in the middle', async () => {
    let pages = 0
    const endless = await startHandmade({
      era: 'legacy',
      handle: (exchange) => exchange.result({ tools: [], nextCursor: `page-${++pages}` }),
    })
    const own = await startGateway({ servers: { e: { url: endless.url } } })
    const session = await openSession(own.url)
    expect(at(responseIn(await session.request('tools/list')), 'result', 'tools')).toEqual([])
    expect(pages).toBeLessThanOrEqual(100)
    await own.close()
    await endless.close()
  })

  test('definitions that are none do not spoil the list', async () => {
    const odd = await startHandmade({
      era: 'legacy',
      handle: (exchange) =>
        exchange.result({
          tools: [
            null,
            7,
            'x',
            [],
            { name: 5 },
            { name: '' },
            { name: '__proto__' },
            { name: 'ok', inputSchema: { __proto__: 1 } },
          ],
          nextCursor: 7,
        }),
    })
    const own = await startGateway({ servers: { o: { url: odd.url }, m: { url: modernServer.url } } })
    const session = await openSession(own.url)
    const tools = at(responseIn(await session.request('tools/list')), 'result', 'tools')
    expect(JSON.stringify(tools)).toContain('"o__ok"')
    await own.close()
    await odd.close()
  })

  test.each([
    ['no list', {}],
    ['an object', { tools: {} }],
    ['text', { tools: 'x' }],
    ['null', null],
    ['a list as result', []],
  ])('%s instead of a list is no list', async (_, result) => {
    const odd = await startHandmade({ era: 'legacy', handle: (exchange) => exchange.result(result) })
    const own = await startGateway({ servers: { o: { url: odd.url } } })
    const session = await openSession(own.url)
    expect(at(responseIn(await session.request('tools/list')), 'result', 'tools')).toEqual([])
    await own.close()
    await odd.close()
  })

  test('questions without end: the oldest are forgotten, the newest can be answered', async () => {
    const name = nextCase()
    const count = 3_000
    const session = await openSession(running.at('l'), { capabilities: { sampling: {} } })
    let response: Exchange | undefined
    plan.set(name, (exchange) => {
      response = exchange
      const event = exchange.stream()
      for (let id = 1; id <= count; id++)
        event({ jsonrpc: '2.0', id, method: 'sampling/createMessage', params: {} })
    })
    const reader = await session.stream('tools/call', { name }, 'q')
    let seen = 0
    while (seen < count) {
      const event = await reader.message()
      if (event === undefined) throw new Error('the stream ended')
      seen = Number(at(event.json, 'id'))
    }
    const before = legacyServer.arrived.length
    expect((await session.post({ jsonrpc: '2.0', id: count, result: {} })).status).toBe(202)
    await until(() => legacyServer.arrived.length > before, 'the answer arrived')
    expect(legacyServer.arrived.at(-1)?.message).toMatchObject({ id: count, result: {} })
    expect((await session.post({ jsonrpc: '2.0', id: 1, result: {} })).status).toBe(400)
    response?.response.end(`data: {"jsonrpc":"2.0","id":"q","result":{}}\n\n`)
    expect(at((await reader.message())?.json, 'id')).toBe('q')
  })

  test('to be asked again at once, all the time, is not done', async () => {
    const times: number[] = []
    const eager = await startHandmade({
      era: 'legacy',
      listen: ({ response }) => {
        times.push(performance.now())
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.end('retry: 0\n\n')
      },
    })
    const own = await startGateway({ servers: { e: { url: eager.url } } })
    const session = await openSession(own.at('e'))
    const reader = await session.listen()
    await until(() => times.length >= 3, 'three streams')
    expect((times[2] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(150)
    reader.hangUp()
    await own.close()
    await eager.close()
  })

  test('an answer to a question is matched by its value, however the client writes the id', async () => {
    const name = nextCase()
    const session = await openSession(running.at('l'), { capabilities: { sampling: {} } })
    let exchange: Exchange | undefined
    plan.set(name, (arrived) => {
      exchange = arrived
      arrived.response.writeHead(200, { 'content-type': 'text/event-stream' })
      arrived.response.write(
        'data: {"jsonrpc":"2.0","id":1e2,"method":"sampling/createMessage","params":{}}\n\n',
      )
    })
    const reader = await session.stream('tools/call', { name }, 'q')
    expect(at((await reader.message())?.json, 'id')).toBe(100)
    expect((await session.post({ jsonrpc: '2.0', id: '100', result: {} })).status).toBe(400)
    expect((await session.post({ jsonrpc: '2.0', id: 100, result: {} })).status).toBe(202)
    await until(() => legacyServer.arrived.at(-1)?.text.includes('"result"') === true, 'the answer arrived')
    expect(legacyServer.arrived.at(-1)?.text).toContain('"id":1e2')
    exchange?.response.end('data: {"jsonrpc":"2.0","id":"q","result":{}}\n\n')
    await reader.message()
  })
})

describe('credentials that cannot be had', () => {
  test.each([
    ['consent, at once', () => ({ consentUrl: 'https://c.example.com' }), 'ERR_CONSENT_REQUIRED'],
    ['consent, later', async () => ({ consentUrl: 'https://c.example.com' }), 'ERR_CONSENT_REQUIRED'],
    [
      'a throw',
      () => {
        throw new Error('secret')
      },
      'ERR_UPSTREAM_UNAVAILABLE',
    ],
    ['a rejection', () => Promise.reject(new Error('secret')), 'ERR_UPSTREAM_UNAVAILABLE'],
    [
      'a header that is none',
      () => ({ headers: { authorization: 'a\r\nb: c' } }),
      'ERR_UPSTREAM_UNAVAILABLE',
    ],
  ])('%s: the call ends', async (_, get, code) => {
    for (const era of ['modern', 'legacy'] as const) {
      const upstream = await startHandmade({ era })
      let ready = false
      const own = await startGateway({
        servers: { x: { url: upstream.url } },
        credentials: { get: () => (ready ? get() : undefined) },
      })
      await own.gateway.ready()
      const session = era === 'legacy' ? await openSession(own.at('x')) : undefined
      ready = true
      const before = upstream.arrived.length
      const answer =
        session === undefined
          ? await send(own.at('x'), callTool('echo'))
          : await session.request('tools/call', { name: 'echo' })
      expect(at(responseIn(answer), 'error', 'data', 'code')).toBe(code)
      expect(answer.text).not.toContain('secret')
      expect(upstream.arrived.length).toBe(before)
      await own.close()
      await upstream.close()
    }
  })
})

test('a server that is not there, or says nothing, does not hold up the others', async () => {
  const silent = await startHandmade({ era: 'legacy', handle: () => {} })
  const own = await startGateway({
    servers: {
      gone: { url: 'http://127.0.0.1:1/mcp' },
      silent: { url: silent.url },
      l: { url: legacyServer.url },
    },
    limits: { listMs: 150, probeMs: 1_000 },
  })
  const session = await openSession(own.url)
  const answer = responseIn(await session.request('tools/list'))
  expect(at(answer, 'result', '_meta', 'sallyport/unavailable')).toEqual(['gone', 'silent'])
  expect(at(responseIn(await session.request('tools/call', { name: 'l__x' })), 'result', 'ok')).toBe('x')
  const dead = await send(own.at('gone'), {
    headers: jsonHeaders,
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 3,
      method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {} },
    }),
  })
  expect(dead.json).toMatchObject({
    id: 3,
    error: { data: { code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: true } },
  })
  await own.close()
  await silent.close()
})

test('a gateway without servers is a gateway', async () => {
  const own = await startGateway({ servers: {} })
  const session = await openSession(own.url)
  expect(at(responseIn(await session.request('tools/list')), 'result', 'tools')).toEqual([])
  await own.close()
  expect(() => createGateway({ servers: { 'a/b': { url: 'http://127.0.0.1' } } })).toThrow('a/b')
})

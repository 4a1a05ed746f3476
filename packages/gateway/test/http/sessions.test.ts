import { createFakeClock, delayed, failing } from '@sallyport/contracts'
import type { McpSessionStore } from '@sallyport/core'
import { createMemoryAuditRecorder, createMemoryMcpSessionStore } from '@sallyport/core/memory'
import { afterAll, describe, expect, test } from 'vitest'
import { at, send, until } from './client.ts'
import { collectingLogger, namedCallers, startForSessions, startGateway } from './gateway.ts'
import { initialize, jsonHeaders, openSession, responseIn } from './messages.ts'
import { startHandmade } from './upstream.ts'

const audit = createMemoryAuditRecorder()
const { server, running, close } = await startForSessions(audit)
afterAll(close)

const ada = { 'x-subject': 'ada' }
const bob = { 'x-subject': 'bob' }
const ping = { jsonrpc: '2.0', id: 'p', method: 'tools/call', params: { name: 'echo' } }

describe('a session that is not there', () => {
  const unknown = {
    jsonrpc: '2.0',
    id: 'p',
    error: { code: -32600, message: 'there is no such session' },
  }

  test.each([
    ['nothing at all', 'x'],
    ['path characters', '../../etc/passwd'],
    ['JavaScript', '__proto__'],
    ['very long', 'x'.repeat(4_000)],
    ['two of them', 'a, b'],
  ])('%s: 404 for every method', async (_, id) => {
    for (const method of ['POST', 'GET', 'DELETE']) {
      const headers = { ...jsonHeaders, ...ada, 'mcp-session-id': id }
      const answer = await send(running.at('l'), {
        method,
        headers,
        ...(method === 'POST' && { body: JSON.stringify(ping) }),
      })
      expect(answer.status).toBe(404)
      if (method === 'POST') expect(answer.json).toEqual(unknown)
    }
  })

  test('without the header: 400', async () => {
    const answer = await send(running.at('l'), {
      headers: { ...jsonHeaders, ...ada },
      body: JSON.stringify(ping),
    })
    expect(answer.status).toBe(400)
    expect(at(answer.json, 'id')).toBe('p')
  })

  test("somebody else's session looks the same, and stays whole", async () => {
    const session = await openSession(running.at('l'), { headers: ada })
    const before = server.arrived.length
    const asBob = { ...session.headers, ...bob }
    for (const method of ['POST', 'GET', 'DELETE']) {
      const answer = await send(running.at('l'), {
        method,
        headers: asBob,
        ...(method === 'POST' && { body: JSON.stringify(ping) }),
      })
      expect(answer.status).toBe(404)
      if (method === 'POST') expect(answer.json).toEqual(unknown)
    }
    expect(server.arrived).toHaveLength(before)
    expect(audit.entries().at(-1)).toMatchObject({
      intent: { principal: { subject: 'bob' } },
      outcome: { status: 'refused' },
    })
    expect((await session.post(ping)).status).toBe(200)
  })

  test('a session belongs to the path on which it was opened', async () => {
    const session = await openSession(running.at('l'), { headers: ada })
    for (const url of [running.at('o'), running.url]) {
      expect((await send(url, { headers: session.headers, body: JSON.stringify(ping) })).json).toEqual(
        unknown,
      )
    }
    const whole = await openSession(running.url, { headers: ada })
    expect(
      (await send(running.at('l'), { headers: whole.headers, body: JSON.stringify(ping) })).json,
    ).toEqual(unknown)
  })

  test('nor one that was ended: its calls end, the server is told', async () => {
    const session = await openSession(running.at('l'), { headers: ada })
    const before = server.all.length
    expect((await send(session.url, { method: 'DELETE', headers: session.headers })).status).toBe(200)
    expect((await session.post(ping)).status).toBe(404)
    expect((await send(session.url, { method: 'DELETE', headers: session.headers })).status).toBe(404)
    await until(
      () => server.all.slice(before).some(({ method }) => method === 'DELETE'),
      'the server was told',
    )
  })
})

describe("another caller's cursor", () => {
  test('is not valid: -32602, and neither is one of another list or one that was changed', async () => {
    const page = (exchange: { message: unknown }, name: string) => {
      const cursor = at(exchange.message, 'params', 'cursor')
      return cursor === undefined
        ? { [name]: [{ name: 'one' }], nextCursor: '2' }
        : { [name]: [{ name: 'two' }] }
    }
    const long = await startHandmade({
      era: 'legacy',
      handle: (exchange) =>
        exchange.result(page(exchange, exchange.rpcMethod === 'tools/list' ? 'tools' : 'prompts')),
    })
    const own = await startGateway({
      servers: { l: { url: long.url } },
      authenticate: namedCallers(),
      limits: { pageItems: 1 },
    })
    await own.gateway.ready()
    const session = await openSession(own.url, { headers: ada })
    const first = responseIn(await session.request('tools/list'))
    const cursor = at(first, 'result', 'nextCursor')
    expect(typeof cursor).toBe('string')
    const before = long.arrived.length
    const stranger = await openSession(own.url, { headers: bob })
    const refusals = [
      await stranger.request('tools/list', { cursor }),
      await session.request('prompts/list', { cursor }),
      await session.request('tools/list', { cursor: `${String(cursor)}A` }),
      await session.request('tools/list', { cursor: ` ${String(cursor)}` }),
      await session.request('tools/list', { cursor: '2' }),
      await session.request('tools/list', { cursor: '' }),
      await session.request('tools/list', { cursor: 7 }),
      await session.request('tools/list', { cursor: null }),
    ]
    for (const answer of refusals) expect(at(responseIn(answer), 'error', 'code')).toBe(-32602)
    expect(long.arrived).toHaveLength(before)
    const second = responseIn(await session.request('tools/list', { cursor }))
    expect(at(second, 'result', 'tools', 0, 'name')).toBe('l__two')
    await own.close()
    await long.close()
  })
})

describe('the clock', () => {
  test('a session that nobody used ends; one that is used or waits for an answer does not', async () => {
    const clock = createFakeClock()
    const held: (() => void)[] = []
    const slow = await startHandmade({
      era: 'legacy',
      handle: (exchange) => {
        if (at(exchange.message, 'params', 'name') === 'slow')
          held.push(() => exchange.result({ content: [] }))
        else exchange.result({ content: [] })
      },
    })
    const own = await startGateway({
      servers: { l: { url: slow.url } },
      limits: { sessionIdleMs: 60_000 },
      now: clock.now,
    })
    await own.gateway.ready()
    const idle = await openSession(own.at('l'))
    const used = await openSession(own.at('l'))
    const waiting = await openSession(own.at('l'))
    const answer = waiting.request('tools/call', { name: 'slow' })
    await until(() => held.length === 1, 'the slow call arrived')
    clock.advance(40_000)
    expect((await used.post(ping)).status).toBe(200)
    clock.advance(20_000)
    expect((await idle.post(ping)).status).toBe(404)
    expect((await used.post(ping)).status).toBe(200)
    held[0]?.()
    expect((await answer).status).toBe(200)
    expect((await waiting.post(ping)).status).toBe(200)
    const reader = await waiting.listen()
    clock.advance(60_000)
    expect((await used.post(ping)).status).toBe(404)
    expect((await waiting.post(ping)).status).toBe(200)
    reader.hangUp()
    while ((await reader.next()) !== undefined);
    clock.advance(60_000)
    let last = await waiting.listen()
    const limit = performance.now() + 5_000
    while (last.status !== 404 && performance.now() < limit) {
      // the gateway had not noticed yet that nobody listens any more
      last.hangUp()
      while ((await last.next()) !== undefined);
      clock.advance(60_000)
      last = await waiting.listen()
    }
    expect(last.status).toBe(404)
    await own.close()
    await slow.close()
  })
})

describe('the handshake', () => {
  test.each([
    ['no version', { capabilities: {} }],
    ['a number as version', { protocolVersion: 20251125, capabilities: {} }],
    ['no capabilities', { protocolVersion: '2025-11-25' }],
    ['a list as capabilities', { protocolVersion: '2025-11-25', capabilities: [] }],
  ])('with %s opens nothing: -32602', async (_, params) => {
    for (const url of [running.url, running.at('l')]) {
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params })
      const answer = await send(url, { headers: { ...jsonHeaders, ...ada }, body })
      expect(at(responseIn(answer), 'error', 'code')).toBe(-32602)
      expect(answer.headers['mcp-session-id']).toBeUndefined()
    }
  })

  test('an unknown version is answered with the newest that has a handshake', async () => {
    const session = await openSession(running.url, { headers: ada, version: '1999-01-01' })
    expect(at(session.opened.json, 'result', 'protocolVersion')).toBe('2025-11-25')
  })

  test('a server that refuses it leaves no session behind', async () => {
    const unwilling = await startHandmade({
      era: 'modern',
      handle: (exchange) => exchange.error(400, -32602, 'not you'),
    })
    const own = await startGateway({ servers: { l: { url: unwilling.url } } })
    const answer = await send(own.at('l'), { headers: jsonHeaders, body: JSON.stringify(initialize()) })
    expect(at(responseIn(answer), 'error', 'code')).toBe(-32602)
    expect(answer.headers['mcp-session-id']).toBeUndefined()
    await own.close()
    await unwilling.close()
  })

  test('session ids cannot be guessed, and only hold what a header may', async () => {
    const ids = await Promise.all(
      Array.from({ length: 20 }, async () => (await openSession(running.url, { headers: ada })).id),
    )
    expect(new Set(ids).size).toBe(20)
    for (const id of ids) expect(id).toMatch(/^[\x21-\x7e]{32,}$/)
  })

  test('a second handshake opens a second session', async () => {
    const session = await openSession(running.at('l'), { headers: ada })
    const again = await session.post(initialize())
    expect(again.headers['mcp-session-id']).toMatch(/./)
    expect(again.headers['mcp-session-id']).not.toBe(session.id)
    expect((await session.post(ping)).status).toBe(200)
  })
})

describe('a session store', () => {
  const slowly = (store: McpSessionStore) => delayed(store, 1, { sleep: () => Promise.resolve() })

  test.each([
    ['answers at once', (store: McpSessionStore) => store],
    ['answers later', slowly],
  ])('that %s hands a session to another process', async (_, wrap) => {
    const store = createMemoryMcpSessionStore()
    const options = {
      servers: { l: { url: server.url } },
      authenticate: namedCallers(),
      sessions: wrap(store),
    }
    const one = await startGateway(options)
    const two = await startGateway(options)
    const session = await openSession(one.at('l'), { headers: ada })
    const post = (url: string, headers: Record<string, string>) =>
      send(url, { headers: { ...session.headers, ...headers }, body: JSON.stringify(ping) })
    expect((await post(two.at('l'), ada)).status).toBe(200)
    expect((await post(two.at('l'), bob)).status).toBe(404)
    expect((await post(two.url, ada)).status).toBe(404)
    await one.close()
    await two.close()
  })

  test.each([
    ['with a promise', false],
    ['at once', true],
  ])('that fails %s refuses what it had to know, and nothing else: 503', async (_, synchronously) => {
    const logger = collectingLogger()
    const own = await startGateway({
      servers: { l: { url: server.url } },
      sessions: failing(createMemoryMcpSessionStore(), { synchronously }),
      logger,
    })
    const session = await openSession(own.at('l'))
    expect((await session.post(ping)).status).toBe(200)
    for (const method of ['POST', 'GET', 'DELETE']) {
      const headers = { ...jsonHeaders, 'mcp-session-id': 'elsewhere' }
      const answer = await send(own.at('l'), {
        method,
        headers,
        ...(method === 'POST' && { body: JSON.stringify(ping) }),
      })
      expect(answer.status).toBe(503)
    }
    expect(logger.lines.some(({ level }) => level === 'error')).toBe(true)
    expect((await send(session.url, { method: 'DELETE', headers: session.headers })).status).toBe(200)
    await own.close()
  })

  test('that holds nonsense does no harm', async () => {
    const store = createMemoryMcpSessionStore()
    const own = await startGateway({
      servers: { l: { url: server.url } },
      sessions: store,
      authenticate: namedCallers(),
    })
    const session = await openSession(own.at('l'), { headers: ada })
    const record = await store.get(session.id)
    if (record === undefined) throw new Error('no record')
    await store.put({ ...record, id: 'broken', initializeParams: 'not JSON' })
    const headers = { ...session.headers, 'mcp-session-id': 'broken' }
    const answer = await send(own.at('l'), { headers, body: JSON.stringify(ping) })
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect((await session.post(ping)).status).toBe(200)
    await own.close()
  })
})

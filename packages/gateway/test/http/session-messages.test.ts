import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { afterAll, describe, expect, test } from 'vitest'
import { at, send, until } from './client.ts'
import { startForSessions, startGateway } from './gateway.ts'
import { initialize, modern, openSession } from './messages.ts'
import { startHandmade } from './upstream.ts'

const audit = createMemoryAuditRecorder()
const { server, running, close } = await startForSessions(audit)
afterAll(close)

const ada = { 'x-subject': 'ada' }
const ping = { jsonrpc: '2.0', id: 'p', method: 'tools/call', params: { name: 'echo' } }

describe('batches', () => {
  const batch = [
    { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'a' } },
    { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: 1 } },
    { jsonrpc: '2.0', id: 'two', method: 'tools/call', params: { name: 'b' } },
    { jsonrpc: '2.0', id: null, method: 'tools/call' },
    7,
  ]

  test.each(['2025-06-18', '2025-11-25', '2024-11-05'])('are refused in %s', async (version) => {
    const session = await openSession(running.at('l'), { headers: ada, version })
    const before = server.arrived.length
    const answer = await session.post(batch)
    expect(answer.status).toBe(400)
    expect(at(answer.json, 'error', 'code')).toBe(-32600)
    expect(server.arrived).toHaveLength(before)
  })

  test('are refused in the modern era', async () => {
    const { headers, body } = modern('tools/list')
    const answer = await send(running.at('l'), { headers: { ...headers, ...ada }, body: `[${body}]` })
    expect(answer.status).toBe(400)
  })

  test('are taken in 2025-03-26, each message for itself', async () => {
    const session = await openSession(running.at('l'), { headers: ada, version: '2025-03-26' })
    const before = server.arrived.length
    const recorded = audit.entries().length
    const answer = await session.post(batch)
    expect(answer.status).toBe(200)
    const responses = Array.isArray(answer.json) ? answer.json : []
    expect(responses).toHaveLength(4)
    expect(responses.map((it: unknown) => at(it, 'id'))).toEqual(expect.arrayContaining([1, 'two']))
    expect(responses.filter((it: unknown) => at(it, 'error', 'code') === -32600)).toHaveLength(2)
    await until(() => server.arrived.length === before + 3, 'two calls and a notification')
    expect(audit.entries().length - recorded).toBe(5)
    expect(audit.entries().every(({ outcome }) => outcome !== undefined)).toBe(true)
  })

  test('a server that answers nonsense spoils its own answer only', async () => {
    const odd = await startHandmade({
      era: 'legacy',
      handle: (exchange) =>
        exchange.write(
          200,
          `{"jsonrpc":"2.0","id":${JSON.stringify(at(exchange.message, 'id'))},"result":{"a":[}}`,
        ),
    })
    const own = await startGateway({ servers: { l: { url: server.url }, odd: { url: odd.url } } })
    const session = await openSession(own.url, { version: '2025-03-26' })
    const call = (id: number, name: string) => ({
      jsonrpc: '2.0',
      id,
      method: 'tools/call',
      params: { name },
    })
    const answer = await session.post([call(1, 'l__x'), call(2, 'odd__x')])
    const responses: unknown[] = Array.isArray(answer.json) ? answer.json : []
    expect(
      at(
        responses.find((it) => at(it, 'id') === 1),
        'result',
      ),
    ).toBeDefined()
    expect(
      at(
        responses.find((it) => at(it, 'id') === 2),
        'error',
        'code',
      ),
    ).toBe(-32603)
    await own.close()
    await odd.close()
  })

  test('with notifications only: 202', async () => {
    const session = await openSession(running.at('l'), { headers: ada, version: '2025-03-26' })
    expect((await session.post([batch[1]])).status).toBe(202)
  })

  test('hold no handshake', async () => {
    const session = await openSession(running.at('l'), { headers: ada, version: '2025-03-26' })
    const before = server.all.length
    const answer = await session.post([initialize({}, 9), batch[0]])
    const responses = Array.isArray(answer.json) ? answer.json : []
    const refused: unknown = responses.find((it: unknown) => at(it, 'id') === 9)
    expect(at(refused, 'error', 'code')).toBe(-32600)
    const arrived = server.all.slice(before).map(({ rpcMethod }) => rpcMethod)
    expect(arrived.filter((method) => method !== 'notifications/initialized')).toEqual(['tools/call'])
    expect((await session.post(ping)).status).toBe(200)
  })
})

describe('ids within a session', () => {
  test('an id of a call that is open cannot be used again; afterwards it can', async () => {
    const held: (() => void)[] = []
    const slow = await startHandmade({
      era: 'legacy',
      handle: (exchange) => void held.push(() => exchange.result({})),
    })
    const own = await startGateway({ servers: { l: { url: slow.url } } })
    const session = await openSession(own.at('l'))
    const first = session.post({ ...ping, id: 1 })
    await until(() => held.length === 1, 'the call arrived')
    const again = await session.post({ ...ping, id: 1 })
    expect(again.status).toBe(400)
    expect(at(again.json, 'error', 'code')).toBe(-32600)
    const text = session.post({ ...ping, id: '1' })
    await until(() => held.length === 2, 'a text is another id than a number')
    for (const answer of held) answer()
    expect([(await first).status, (await text).status]).toEqual([200, 200])
    const reused = session.post({ ...ping, id: 1 })
    await until(() => held.length === 3, 'the third call arrived')
    held[2]?.()
    expect((await reused).status).toBe(200)
    await own.close()
    await slow.close()
  })

  test('an answer to a question that nobody asked is refused', async () => {
    const session = await openSession(running.at('l'), { headers: ada })
    for (const id of [1, 'x', 0]) {
      const answer = await session.post({ jsonrpc: '2.0', id, result: {} })
      expect(answer.status).toBe(400)
    }
  })
})

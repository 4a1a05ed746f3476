import { afterEach, expect, test } from 'vitest'
import { at, openEvents, send, until } from './client.ts'
import { type RunningGateway, startGateway } from './gateway.ts'
import { callTool, envelope, initialize, jsonHeaders, modern, openSession } from './messages.ts'
import { type Exchange, type HandmadeUpstream, startHandmade } from './upstream.ts'

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.close()
})

async function setUp(): Promise<{
  running: RunningGateway
  held: Exchange[]
  modernServer: HandmadeUpstream
}> {
  const held: Exchange[] = []
  const handle = (exchange: Exchange) => {
    if (at(exchange.message, 'id') === undefined) exchange.response.writeHead(202).end()
    else held.push(exchange)
  }
  const modernServer = await startHandmade({ handle })
  const legacyServer = await startHandmade({ era: 'legacy', handle })
  const running = await startGateway({
    servers: { m: { url: modernServer.url }, l: { url: legacyServer.url } },
  })
  open.push(modernServer, legacyServer, running)
  await running.gateway.ready()
  return { running, held, modernServer }
}

const shuttingDown = { error: { code: -32603, data: { code: 'ERR_SHUTTING_DOWN' } } }

test('calls in flight are answered, new ones are not taken', async () => {
  const { running, held } = await setUp()
  const session = await openSession(running.at('l'))
  const one = send(running.at('m'), callTool('one', {}, 'one'))
  const two = session.request('tools/call', { name: 'two' }, 'two')
  await until(() => held.length === 2, 'two calls arrived')
  let closed = false
  const closing = running.gateway.close({ deadlineMs: 10_000 }).then(() => (closed = true))
  expect(running.gateway.health()).toEqual({ live: true, ready: false })
  expect((await send(`${running.origin}/readyz`, { method: 'GET' })).status).toBe(503)
  expect((await send(`${running.origin}/livez`, { method: 'GET' })).status).toBe(200)
  const late = callTool('late', {}, 'late')
  const refusals = [
    await send(running.at('m'), late),
    await send(running.at('m'), { ...late, headers: { ...late.headers, 'mcp-session-id': 'anything' } }),
    await send(running.at('l'), { headers: jsonHeaders, body: JSON.stringify(initialize()) }),
    await send(running.at('l'), {
      headers: { ...jsonHeaders, 'mcp-session-id': 'anything' },
      body: JSON.stringify(initialize()),
    }),
    await session.request('tools/call', { name: 'late' }, 'late'),
  ]
  for (const answer of refusals) {
    expect(answer.status).toBe(503)
    expect(answer.json).toMatchObject(shuttingDown)
    expect(answer.headers['retry-after']).toBeDefined()
  }
  expect(at(refusals[4]?.json, 'id')).toBe('late')
  expect(held).toHaveLength(2)
  expect(closed).toBe(false)
  for (const exchange of held) exchange.result({ fine: true })
  expect((await one).json).toMatchObject({ id: 'one', result: { fine: true } })
  expect((await two).json).toMatchObject({ id: 'two', result: { fine: true } })
  await closing
  expect(running.gateway.health()).toEqual({ live: false, ready: false })
})

test('what an open call waits for may still be brought', async () => {
  const { running, held } = await setUp()
  const session = await openSession(running.at('l'), { capabilities: { sampling: {} } })
  const reading = session.stream('tools/call', { name: 'ask' })
  await until(() => held.length === 1, 'the call arrived')
  const event = held[0]?.stream()
  event?.({ jsonrpc: '2.0', id: 0, method: 'sampling/createMessage', params: {} })
  const reader = await reading
  expect(at((await reader.message())?.json, 'id')).toBe(0)
  const closing = running.gateway.close({ deadlineMs: 10_000 })
  expect((await session.post({ jsonrpc: '2.0', id: 0, result: { answer: 42 } })).status).toBe(202)
  event?.({ jsonrpc: '2.0', id: 1, result: {} })
  held[0]?.response.end()
  expect((await reader.message())?.json).toMatchObject({ id: 1, result: {} })
  await closing
})

test('the deadline holds: who still waits gets an error that says so, and the servers are told', async () => {
  const { running, held } = await setUp()
  const session = await openSession(running.at('l'))
  const one = send(running.at('m'), callTool('one', {}, 'one'))
  const two = session.request('tools/call', { name: 'two' }, 'two')
  const streaming = openEvents(
    running.at('m'),
    modern('tools/call', { name: 'three', _meta: { ...envelope, progressToken: 1 } }, 'three'),
  )
  await until(() => held.length === 3, 'three calls arrived')
  const third = held.find((exchange) => at(exchange.message, 'params', 'name') === 'three')
  third?.stream()({
    jsonrpc: '2.0',
    method: 'notifications/progress',
    params: { progressToken: 1, progress: 1 },
  })
  const reader = await streaming
  await reader.message()
  const startedAt = performance.now()
  await running.gateway.close({ deadlineMs: 100 })
  const took = performance.now() - startedAt
  expect(took).toBeGreaterThan(80)
  expect(took).toBeLessThan(3_000)
  for (const [id, answer] of [
    ['one', await one],
    ['two', await two],
  ] as const) {
    expect(answer.status).toBe(503)
    expect(answer.json).toMatchObject({ id, ...shuttingDown })
  }
  expect((await reader.message())?.json).toMatchObject({ id: 'three', ...shuttingDown })
  expect(await reader.next()).toBeUndefined()
  await until(() => held.every(({ hungUp }) => hungUp), 'the servers were told')
})

test('streams that only listen do not hold it up, and end', async () => {
  const { running, held } = await setUp()
  const session = await openSession(running.at('l'))
  const unasked = await session.listen()
  const listening = openEvents(running.at('m'), modern('subscriptions/listen', { notifications: {} }, 'sub'))
  await until(() => held.length === 1, 'the subscription arrived')
  held[0]?.stream()({
    jsonrpc: '2.0',
    method: 'notifications/subscriptions/acknowledged',
    params: { notifications: {}, _meta: { 'io.modelcontextprotocol/subscriptionId': 'sub' } },
  })
  const reader = await listening
  expect(at((await reader.message())?.json, 'method')).toBe('notifications/subscriptions/acknowledged')
  const startedAt = performance.now()
  await running.gateway.close({ deadlineMs: 20_000 })
  expect(performance.now() - startedAt).toBeLessThan(5_000)
  expect(at((await reader.message())?.json, 'id')).toBe('sub')
  expect(await reader.next()).toBeUndefined()
  expect(await unasked.message()).toBeUndefined()
})

test('closing twice is closing once, also by "await using"', async () => {
  const { running } = await setUp()
  const first = running.gateway.close({ deadlineMs: 1_000 })
  const second = running.gateway.close({ deadlineMs: 5 })
  await Promise.all([first, second, running.gateway[Symbol.asyncDispose]()])
  expect(running.gateway.health().live).toBe(false)
  expect((await send(running.at('m'), callTool('x'))).status).toBe(503)
})

test('a call that is refused while a shutdown waits is not sent by an audit log that was slow', async () => {
  const upstream = await startHandmade()
  open.push(upstream)
  const waiting: (() => void)[] = []
  const running = await startGateway({
    servers: { m: { url: upstream.url } },
    audit: { begin: () => new Promise((resolve) => waiting.push(() => resolve({ end() {} }))) },
  })
  open.push(running)
  await running.gateway.ready()
  const call = send(running.at('m'), callTool('slow-audit'))
  await until(() => waiting.length === 1, 'the recorder was asked')
  await running.gateway.close({ deadlineMs: 20 })
  expect((await call).json).toMatchObject(shuttingDown)
  for (const proceed of waiting) proceed()
  await new Promise((resolve) => setImmediate(resolve))
  expect(upstream.arrived).toEqual([])
})

import { type McpUpstream, startMcpUpstream } from '@sallyport/fake-mcp-upstream'
import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { at, open, openEvents, send, until } from './client.ts'
import { type RunningGateway, startGateway } from './gateway.ts'
import { callTool, envelope, modern, openSession, responseIn } from './messages.ts'
import { type Exchange, type HandmadeUpstream, startHandmade } from './upstream.ts'

let fixture: McpUpstream
let modernServer: HandmadeUpstream
let legacyServer: HandmadeUpstream
let running: RunningGateway
const audit = createMemoryAuditRecorder()
/** Calls that the handmade servers hold back, by tool. */
const held = new Map<string, Exchange>()

function hold(exchange: Exchange): void {
  if (at(exchange.message, 'id') === undefined) exchange.response.writeHead(202).end()
  else held.set(String(at(exchange.message, 'params', 'name')), exchange)
}

async function heldCall(name: string): Promise<Exchange> {
  await until(() => held.has(name), `${name} arrived`)
  const exchange = held.get(name)
  if (exchange === undefined) throw new Error('not there')
  return exchange
}

beforeAll(async () => {
  fixture = await startMcpUpstream()
  modernServer = await startHandmade({ handle: hold })
  legacyServer = await startHandmade({ era: 'legacy', handle: hold })
  running = await startGateway({
    servers: { f: { url: fixture.url }, m: { url: modernServer.url }, l: { url: legacyServer.url } },
    audit,
    limits: { bufferedBytes: 256 * 1024, answerBytes: 1024 * 1024 },
  })
  await running.gateway.ready()
})
afterAll(async () => {
  await running.close()
  await fixture.close()
  await modernServer.close()
  await legacyServer.close()
})

const progress = (value: number, token: unknown = 't') => ({
  jsonrpc: '2.0',
  method: 'notifications/progress',
  params: { progressToken: token, progress: value },
})
const withToken = (name: string, id: unknown = 1) =>
  modern('tools/call', { name, arguments: {}, _meta: { ...envelope, progressToken: 't' } }, id)

function lastOutcome(target: string): unknown {
  return audit.entries().findLast(({ intent }) => intent.target === target)?.outcome
}

describe('the modern era: hanging up is how a call is cancelled', () => {
  test('before anything was answered', async () => {
    const call = open(running.at('m'), callTool('before'))
    const exchange = await heldCall('before')
    call.catch(() => {})
    const socketGone = new Promise<void>((resolve) => exchange.response.on('close', () => resolve()))
    running.server.closeAllConnections()
    await socketGone
    expect(exchange.hungUp).toBe(true)
    await until(() => lastOutcome('before') !== undefined, 'the outcome was recorded')
    expect(lastOutcome('before')).toMatchObject({ status: 'cancelled' })
  })

  test('in the middle of a stream', async () => {
    const reading = openEvents(running.at('m'), withToken('middle'))
    const exchange = await heldCall('middle')
    const event = exchange.stream()
    event(progress(1))
    const reader = await reading
    expect(at((await reader.message())?.json, 'params', 'progress')).toBe(1)
    reader.hangUp()
    await until(() => exchange.response.destroyed, 'the server was told')
    event(progress(2))
    await until(() => lastOutcome('middle') !== undefined, 'the outcome was recorded')
    expect(lastOutcome('middle')).toMatchObject({ status: 'cancelled' })
  })

  test('of a real server, which sees it as a cancellation', async () => {
    const reader = await openEvents(
      running.at('f'),
      modern('tools/call', {
        name: 'slow',
        arguments: { ms: 60_000, key: 'modern' },
        _meta: { ...envelope, progressToken: 1 },
      }),
    )
    expect(at((await reader.message())?.json, 'params', 'progress')).toBe(0)
    reader.hangUp()
    await until(() => fixture.cancellations().some(({ key }) => key === 'modern'), 'the server cancelled')
  })

  test('but a complete answer is no cancellation', async () => {
    const before = audit.entries().length
    const reader = await openEvents(running.at('f'), withToken('test_tool_with_progress', 'x'))
    let last: unknown
    for (let event = await reader.message(); event !== undefined; event = await reader.message())
      last = event.json
    reader.hangUp()
    expect(at(last, 'id')).toBe('x')
    const entries = audit
      .entries()
      .slice(before)
      .filter(({ intent }) => intent.kind === 'request')
    expect(entries).toMatchObject([{ outcome: { status: 'ok' } }])
  })

  test('a notification to cancel means nothing here and is taken', async () => {
    const call = open(running.at('m'), callTool('unmoved', {}, 77))
    const exchange = await heldCall('unmoved')
    const { headers } = modern('notifications/cancelled')
    const body = JSON.stringify({
      jsonrpc: '2.0',
      method: 'notifications/cancelled',
      params: { requestId: 77, _meta: envelope },
    })
    expect((await send(running.at('m'), { headers, body })).status).toBe(202)
    exchange.result({ ok: true })
    const { incoming } = await call
    expect(incoming.statusCode).toBe(200)
    incoming.resume()
  })
})

describe('the legacy era: hanging up is not cancelling', () => {
  test('a call goes on without its client, and its answer can be fetched', async () => {
    const session = await openSession(running.at('l'))
    const reading = session.stream('tools/call', { name: 'away', _meta: { progressToken: 't' } }, 5)
    const exchange = await heldCall('away')
    const event = exchange.stream()
    event(progress(1))
    const reader = await reading
    const priming = await reader.next()
    expect(priming).toMatchObject({ data: '', id: expect.stringMatching(/./) })
    const seen = await reader.message()
    expect(at(seen?.json, 'params', 'progress')).toBe(1)
    reader.hangUp()
    event(progress(2))
    event({ jsonrpc: '2.0', id: at(exchange.message, 'id'), result: { done: true } })
    exchange.response.end()
    expect(exchange.hungUp).toBe(false)
    await until(() => lastOutcome('away') !== undefined, 'the call has ended')
    expect(lastOutcome('away')).toMatchObject({ status: 'ok' })
    const resumed = await session.listen({ 'last-event-id': seen?.id ?? '' })
    expect(at((await resumed.message())?.json, 'params', 'progress')).toBe(2)
    const answer = await resumed.message()
    expect(answer?.json).toMatchObject({ id: 5, result: { done: true } })
    expect(await resumed.next()).toBeUndefined()
    expect(new Set([priming?.id, seen?.id, answer?.id]).size).toBe(3)
  })

  test('a stream can be taken up while the call goes on', async () => {
    const session = await openSession(running.at('l'))
    const reading = session.stream('tools/call', { name: 'moved', _meta: { progressToken: 't' } })
    const exchange = await heldCall('moved')
    const event = exchange.stream()
    event(progress(1))
    const reader = await reading
    const seen = await reader.message()
    reader.hangUp()
    const resumed = await session.listen({ 'last-event-id': seen?.id ?? '' })
    event(progress(2))
    expect(at((await resumed.message())?.json, 'params', 'progress')).toBe(2)
    event({ jsonrpc: '2.0', id: at(exchange.message, 'id'), result: {} })
    exchange.response.end()
    expect((await resumed.message())?.json).toMatchObject({ id: 1, result: {} })
    expect(await resumed.next()).toBeUndefined()
  })

  test.each([
    'nonsense',
    '',
    's1',
    's1_',
    '999999_1',
    's9_1',
    's1_99999999999999999999',
    '-1_1',
    '__proto__',
    's1_1, s1_2',
  ])('Last-Event-ID %j shows nothing of another stream, and harms nothing', async (id) => {
    const session = await openSession(running.at('l'))
    const reader = await session.listen({ 'last-event-id': id })
    expect(reader.status).toBe(200)
    reader.hangUp()
    const call = session.request('tools/call', { name: `after ${id}` })
    ;(await heldCall(`after ${id}`)).result({})
    expect((await call).status).toBe(200)
  })

  test('a call whose stream is not kept any more cannot be taken up: 400', async () => {
    const session = await openSession(running.at('l'))
    expect((await session.listen({ 'last-event-id': 'c999_1' })).status).toBe(400)
  })

  test("an event id of one session means nothing in another's", async () => {
    const one = await openSession(running.at('l'))
    const two = await openSession(running.at('l'))
    const reading = one.stream('tools/call', { name: 'secret', _meta: { progressToken: 't' } })
    const exchange = await heldCall('secret')
    const event = exchange.stream()
    event(progress(41))
    const reader = await reading
    const seen = await reader.message()
    reader.hangUp()
    event(progress(42))
    const stranger = await two.listen({ 'last-event-id': seen?.id ?? '' })
    expect(stranger.status).toBe(400)
    const owner = await one.listen({ 'last-event-id': seen?.id ?? '' })
    expect(at((await owner.message())?.json, 'params', 'progress')).toBe(42)
    owner.hangUp()
    exchange.response.end()
  })

  test('a server hears of a cancellation that was asked for, and nothing of it is answered', async () => {
    const session = await openSession(running.at('f'))
    const reader = await session.stream(
      'tools/call',
      { name: 'slow', arguments: { ms: 60_000, key: 'legacy' }, _meta: { progressToken: 9 } },
      'c',
    )
    expect(at((await reader.message())?.json, 'params', 'progressToken')).toBe(9)
    const cancelled = await session.post({
      jsonrpc: '2.0',
      method: 'notifications/cancelled',
      params: { requestId: 'c', reason: 'enough' },
    })
    expect(cancelled.status).toBe(202)
    await until(() => fixture.cancellations().some(({ key }) => key === 'legacy'), 'the server cancelled')
    expect(await reader.message()).toBeUndefined()
  })

  test.each([
    ['of an unknown call', { requestId: 'never' }],
    ['of an id of another kind', { requestId: '8' }],
    ['of nothing', {}],
    ['of an object', { requestId: {} }],
    ['with a reason that is no text', { requestId: 'never', reason: 5 }],
  ])('a cancellation %s changes nothing', async (_, params) => {
    const session = await openSession(running.at('l'))
    const name = `calm ${JSON.stringify(params)}`
    const call = session.request('tools/call', { name }, 8)
    const exchange = await heldCall(name)
    expect((await session.post({ jsonrpc: '2.0', method: 'notifications/cancelled', params })).status).toBe(
      202,
    )
    exchange.result({})
    expect((await call).status).toBe(200)
  })

  test("nobody can cancel another session's call", async () => {
    const owner = await openSession(running.at('l'))
    const stranger = await openSession(running.at('l'))
    const call = owner.request('tools/call', { name: 'mine' }, 1)
    const exchange = await heldCall('mine')
    await stranger.post({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } })
    exchange.result({})
    expect((await call).json).toMatchObject({ id: 1, result: {} })
  })

  test('what was cancelled before it was sent is not sent', async () => {
    const session = await openSession(running.url)
    const before = legacyServer.all.length
    const call = session.request('tools/call', { name: 'l__early' }, 1)
    await session.post({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } })
    expect(responseIn(await call)).toBeUndefined()
    const arrived = legacyServer.all.slice(before).filter(({ rpcMethod }) => rpcMethod === 'tools/call')
    expect(arrived.every(({ hungUp }) => hungUp)).toBe(true)
  })
})

test('ending a session ends its calls and its streams, and the server is told', async () => {
  const session = await openSession(running.at('l'))
  const unasked = await session.listen()
  const call = session.request('tools/call', { name: 'ended' })
  const exchange = await heldCall('ended')
  const before = legacyServer.all.length
  expect((await send(session.url, { method: 'DELETE', headers: session.headers })).status).toBe(200)
  expect(responseIn(await call)).toBeUndefined()
  expect(await unasked.message()).toBeUndefined()
  await until(() => exchange.hungUp, 'the server was told')
  await until(
    () => legacyServer.all.slice(before).some(({ method }) => method === 'DELETE'),
    'its session ended',
  )
  expect(lastOutcome('ended')).toMatchObject({ status: 'cancelled' })
})

describe('a reader that does not keep up', () => {
  const kilobytes = 'x'.repeat(16 * 1024)
  const fill = (value: number) => ({
    ...progress(value),
    params: { ...progress(value).params, message: kilobytes },
  })

  /** Sends until the gateway lets go of the client, and never more than a client could be owed. */
  async function flood(event: (message: unknown) => void, gone: () => boolean): Promise<number> {
    let sent = 0
    while (!gone() && sent < 4_000) {
      event(fill(++sent))
      if (sent % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    return sent
  }

  test('of the modern era loses its call, and memory stays bounded', async () => {
    const reading = openEvents(running.at('m'), withToken('flood'))
    const exchange = await heldCall('flood')
    const event = exchange.stream()
    event(progress(0))
    const reader = await reading
    reader.pause()
    const before = process.memoryUsage().arrayBuffers + process.memoryUsage().external
    const sent = await flood(event, () => exchange.response.destroyed)
    expect(exchange.response.destroyed).toBe(true)
    expect(sent).toBeLessThan(4_000)
    expect(process.memoryUsage().arrayBuffers + process.memoryUsage().external - before).toBeLessThan(
      64 * 1024 * 1024,
    )
    await until(() => lastOutcome('flood') !== undefined, 'the outcome was recorded')
    reader.hangUp()
  })

  test('of the legacy era loses its connection, not its call', async () => {
    const session = await openSession(running.at('l'))
    const reading = session.stream('tools/call', { name: 'flood-l', _meta: { progressToken: 't' } })
    const exchange = await heldCall('flood-l')
    const event = exchange.stream()
    event(progress(0))
    const reader = await reading
    const first = await reader.message()
    reader.pause()
    const sent = await flood(event, () => false)
    expect(exchange.response.destroyed).toBe(false)
    event({ jsonrpc: '2.0', id: at(exchange.message, 'id'), result: {} })
    exchange.response.end()
    await until(() => lastOutcome('flood-l') !== undefined, 'the call has ended')
    reader.hangUp()
    const resumed = await session.listen({ 'last-event-id': first?.id ?? '' })
    let count = 0
    let last: unknown
    for (let next = await resumed.message(); next !== undefined; next = await resumed.message()) {
      count++
      last = next.json
    }
    expect(last).toMatchObject({ id: 1, result: {} })
    expect(count).toBeLessThan(sent)
  })
})

describe('a server that goes away', () => {
  test('in the middle of its answer is an error of the call', async () => {
    const call = send(running.at('m'), callTool('broken'))
    const exchange = await heldCall('broken')
    exchange.response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' })
    exchange.response.write('{"jsonrpc"')
    await new Promise((resolve) => setImmediate(resolve))
    exchange.response.destroy()
    const answer = await call
    expect(answer.status).toBe(200)
    expect(answer.json).toMatchObject({
      id: 1,
      error: { data: { code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: false } },
    })
  })

  test('in the middle of a stream is an error on that stream', async () => {
    const reading = openEvents(running.at('m'), withToken('torn'))
    const exchange = await heldCall('torn')
    exchange.stream()(progress(1))
    const reader = await reading
    await reader.message()
    exchange.response.destroy()
    expect((await reader.message())?.json).toMatchObject({
      id: 1,
      error: { data: { code: 'ERR_UPSTREAM_UNAVAILABLE' } },
    })
    expect(await reader.next()).toBeUndefined()
  })
})

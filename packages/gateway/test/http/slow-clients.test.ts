import { connect, type Socket } from 'node:net'
import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { afterEach, describe, expect, test } from 'vitest'
import type { GatewayOptions } from '../../src/index.ts'
import { partsOf } from '../../src/gateway.ts'
import { at, openEvents, send, until } from './client.ts'
import { collectingLogger, namedCallers, startGateway } from './gateway.ts'
import { callTool, envelope, modern, openSession } from './messages.ts'
import { type Exchange, startHandmade } from './upstream.ts'

const cleanUp: (() => unknown)[] = []
afterEach(async () => {
  for (const run of cleanUp.splice(0).toReversed()) await run()
})

const MB = 1024 * 1024
/** More than the buffers of both ends of a connection take. */
const LARGE = 24 * MB

/** Servers whose tool `large` answers with as many bytes as it is asked for, and whose tool `flood` never stops to tell. */
async function start(limits: GatewayOptions['limits']) {
  const floods: Exchange[] = []
  const handle = (exchange: Exchange) => {
    const bytes = Number(at(exchange.message, 'params', 'arguments', 'bytes') ?? 0)
    const name = at(exchange.message, 'params', 'name')
    if (at(exchange.message, 'id') === undefined) exchange.response.writeHead(202).end()
    else if (name === 'flood') {
      floods.push(exchange)
      const tell = exchange.stream()
      const data = 'x'.repeat(bytes)
      const params = { progressToken: 't', progress: 1, message: data }
      const more = () => {
        if (exchange.response.destroyed) return
        tell({ jsonrpc: '2.0', method: 'notifications/progress', params })
        if (exchange.response.writableNeedDrain) exchange.response.once('drain', more)
        else setImmediate(more)
      }
      more()
    } else if (name === 'told') {
      const tell = exchange.stream()
      tell({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 't', progress: 1 } })
      tell({ jsonrpc: '2.0', id: at(exchange.message, 'id'), result: { data: 'x'.repeat(bytes) } })
      exchange.response.end()
    } else exchange.result({ resultType: 'complete', content: [{ type: 'text', text: 'x'.repeat(bytes) }] })
  }
  const server = await startHandmade({ handle })
  const legacyServer = await startHandmade({ era: 'legacy', handle })
  const audit = createMemoryAuditRecorder()
  const logger = collectingLogger()
  const running = await startGateway({
    servers: { m: { url: server.url }, l: { url: legacyServer.url } },
    authenticate: namedCallers(),
    audit,
    logger,
    ...(limits !== undefined && { limits }),
  })
  cleanUp.push(
    () => server.close(),
    () => legacyServer.close(),
    () => running.close(),
  )
  await running.gateway.ready()
  const { slowClients } = partsOf(running.gateway).core
  const large = (who: string, bytes = LARGE, name = 'large') => {
    const { headers, body } = modern('tools/call', {
      name,
      arguments: { bytes },
      _meta: { ...envelope, progressToken: 't' },
    })
    return { headers: { ...headers, 'x-subject': who }, body }
  }
  /** Asks, and never reads a byte of the answer. */
  const neverReads = (who: string, bytes = LARGE, name = 'large'): Socket => {
    const { headers, body } = large(who, bytes, name)
    const lines = Object.entries({ ...headers, 'content-length': String(body.length) })
      .map(([header, value]) => `${header}: ${value}\r\n`)
      .join('')
    const socket = connect(running.port, '127.0.0.1')
    socket.pause()
    socket.on('error', () => {})
    socket.write(`POST /mcp/m HTTP/1.1\r\nHost: localhost\r\n${lines}\r\n${body}`)
    cleanUp.push(() => socket.destroy())
    return socket
  }
  const connections = () =>
    new Promise<number>((resolve) => running.server.getConnections((_, count) => resolve(count)))
  const warnings = () => logger.lines.filter(({ message }) => message.includes('does not read'))
  return { running, audit, slowClients, large, neverReads, floods, connections, warnings }
}

const cutOff = ({ outcome }: { readonly outcome?: { readonly code?: unknown } | undefined }) =>
  outcome?.code === 'ERR_LIMIT_EXCEEDED'

describe('a client that does not read its answer', () => {
  test('is cut off after a while, on the record, and nothing of the answer is kept', async () => {
    const { audit, slowClients, neverReads, connections, warnings } = await start({ stalledWriteMs: 200 })
    neverReads('ann')
    await until(() => slowClients.waitingBytes > 0, 'the answer waits')
    await until(() => slowClients.waitingBytes === 0, 'it was given up')
    expect(warnings()).toEqual([
      expect.objectContaining({ fields: expect.objectContaining({ limit: 'stalledWriteMs' }) }),
    ])
    const entry = audit.entries().find(cutOff)
    expect(entry?.intent).toMatchObject({ principal: { subject: 'ann' }, from: 'client' })
    const deadline = performance.now() + 5_000
    while ((await connections()) > 0 && performance.now() < deadline) await new Promise(setImmediate)
    expect(await connections()).toBe(0)
  })

  test('keeps no more waiting than one caller may, and others get theirs', async () => {
    const { running, slowClients, neverReads, large, warnings } = await start({
      waitingBytesPerPrincipal: 2 * LARGE,
      stalledWriteMs: 60_000,
    })
    for (let clients = 0; clients < 5; clients++) neverReads('ann')
    await until(() => warnings().length >= 2, 'connections are cut off')
    expect(slowClients.waitingBytes).toBeLessThanOrEqual(2 * LARGE)
    expect(warnings().map(({ fields }) => at(fields, 'limit'))).toContain('waitingBytesPerPrincipal')
    const bobs = await send(running.at('m'), large('bob'))
    expect(bobs.text.length).toBeGreaterThan(LARGE)
  })

  test('counts for the whole process, where whoever keeps the most waiting is cut off first', async () => {
    const { slowClients, neverReads, warnings } = await start({
      waitingBytes: 3 * LARGE,
      stalledWriteMs: 60_000,
    })
    neverReads('bob', LARGE / 2)
    await until(() => slowClients.waitingBytes > 0, "bob's answer waits")
    const before = slowClients.waitingBytes
    for (let clients = 0; clients < 5; clients++) neverReads('ann')
    await until(() => warnings().length >= 2, 'connections are cut off')
    expect(slowClients.waitingBytes).toBeLessThanOrEqual(3 * LARGE)
    expect(slowClients.waitingBytes).toBeGreaterThan(before)
    const cut = warnings().map(({ fields }) => Number(at(fields, 'waitingBytes')))
    expect(cut.every((bytes) => bytes > LARGE / 2)).toBe(true)
  })

  test('withdraws its call, in the modern era, by not reading what comes before the answer', async () => {
    const { audit, neverReads, floods } = await start({ bufferedBytes: 4 * MB, stalledWriteMs: 60_000 })
    neverReads('ann', 100_000, 'flood')
    await until(() => floods[0]?.hungUp === true, 'the server is told', 20_000)
    await until(
      () => audit.entries().some(({ intent, outcome }) => intent.target === 'flood' && outcome !== undefined),
      'the outcome is recorded',
    )
    const entry = audit.entries().find(({ intent }) => intent.target === 'flood')
    expect(entry?.outcome).toMatchObject({ status: 'cancelled' })
  })

  test('the same, when it is the time that is over', async () => {
    const { audit, neverReads, floods, warnings } = await start({
      stalledWriteMs: 300,
      bufferedBytes: 1_000 * MB,
    })
    neverReads('ann', 30_000, 'flood')
    await until(() => floods[0]?.hungUp === true, 'the server is told', 20_000)
    expect(warnings().map(({ fields }) => at(fields, 'limit'))).toEqual(['stalledWriteMs'])
    await until(
      () => audit.entries().some(({ intent, outcome }) => intent.target === 'flood' && outcome !== undefined),
      'the outcome is recorded',
    )
  })
})

describe('a client that reads', () => {
  test('slowly gets everything', async () => {
    const { running, large, warnings } = await start({ stalledWriteMs: 1_000 })
    const { headers, body } = large('ann', 40 * MB)
    const response = await fetch(running.at('m'), { method: 'POST', headers, body })
    let bytes = 0
    let reads = 0
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length
      // a pause now and then, together longer than it may take nothing
      if (++reads % 64 === 0) await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(bytes).toBeGreaterThan(40 * MB)
    expect(warnings()).toEqual([])
  })

  test('gets one message that is larger than what may wait, in both eras', async () => {
    const { running, large } = await start({ bufferedBytes: 256 * 1024 })
    const told = await send(running.at('m'), large('ann', 8 * MB, 'told'))
    expect(told.text.length).toBeGreaterThan(8 * MB)
    const session = await openSession(running.at('l'), { headers: { 'x-subject': 'ann' } })
    const params = { name: 'told', arguments: { bytes: 8 * MB }, _meta: { progressToken: 't' } }
    const reader = await session.stream('tools/call', params)
    expect(at((await reader.message())?.json, 'method')).toBe('notifications/progress')
    expect(String(at((await reader.message())?.json, 'result', 'data')).length).toBe(8 * MB)
  })

  test('many answers after one another on one connection leave nothing behind', async () => {
    const { running, large, slowClients } = await start({})
    for (const bytes of [100_000, 300_000, 2 * MB, 10]) {
      const events = await openEvents(running.at('m'), large('ann', bytes, 'told'))
      while ((await events.message()) !== undefined);
      expect((await send(running.at('m'), large('ann', bytes))).text.length).toBeGreaterThan(bytes)
    }
    await until(() => slowClients.waitingBytes === 0, 'nothing waits')
  })
})

describe('the same through fetch', () => {
  async function ask(limits: GatewayOptions['limits'], bytes: number) {
    const { running, slowClients, warnings } = await start(limits)
    const { headers, body } = callTool('large', { bytes })
    const request = new Request(running.at('m'), {
      method: 'POST',
      headers: { ...headers, 'x-subject': 'ann' },
      body,
    })
    return { response: await running.gateway.fetch(request), slowClients, warnings }
  }

  test('an answer that nobody reads is given up', async () => {
    const { response, slowClients, warnings } = await ask({ stalledWriteMs: 200 }, 4 * MB)
    expect(slowClients.waitingBytes).toBeGreaterThan(3 * MB)
    await until(() => warnings().length === 1, 'it was given up')
    expect(slowClients.waitingBytes).toBe(0)
    await expect(response.text()).rejects.toThrow()
  })

  test('one that is read comes as it is', async () => {
    const { response, slowClients, warnings } = await ask({}, 4 * MB)
    expect(Number(response.headers.get('content-length'))).toBeGreaterThan(4 * MB)
    expect((await response.text()).length).toBe(Number(response.headers.get('content-length')))
    await until(() => slowClients.waitingBytes === 0, 'nothing waits')
    expect(warnings()).toEqual([])
  })
})

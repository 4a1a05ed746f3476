import { PassThrough } from 'node:stream'
import { createFakeClock } from '@sallyport/contracts'
import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createGateway, type GatewayOptions } from '../../src/index.ts'
import { serveStdio } from '../../src/stdio/index.ts'
import { at, until } from '../http/client.ts'
import { collectingLogger } from '../http/gateway.ts'
import { envelope, initialize } from '../http/messages.ts'
import { type Exchange, type HandmadeUpstream, startHandmade } from '../http/upstream.ts'

const cleanUp: (() => Promise<unknown>)[] = []
afterEach(async () => {
  vi.useRealTimers()
  for (const run of cleanUp.splice(0).toReversed()) await run()
})

interface Line {
  say(message: unknown): void
  write(bytes: string | Buffer): void
  readonly said: unknown[]
  /** The response with this id. */
  answer(id: unknown): Promise<unknown>
  end(): Promise<void>
}

function connect(options: GatewayOptions, server?: string): Line {
  const gateway = createGateway(options)
  const input = new PassThrough()
  const output = new PassThrough()
  const said: unknown[] = []
  let rest = ''
  output.setEncoding('utf8')
  output.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) said.push(JSON.parse(line))
  })
  const connection = serveStdio(gateway, { input, output, ...(server !== undefined && { server }) })
  cleanUp.push(async () => {
    input.end()
    await gateway.close({ deadlineMs: 0 })
    await connection.closed
  })
  const find = (id: unknown) => said.find((it) => at(it, 'id') === id && at(it, 'method') === undefined)
  return {
    say: (message) => void input.write(`${JSON.stringify(message)}\n`),
    write: (bytes) => void input.write(bytes),
    said,
    async answer(id) {
      await until(() => find(id) !== undefined, `an answer to ${JSON.stringify(id)}`)
      return find(id)
    },
    end() {
      input.end()
      return connection.closed
    },
  }
}

async function legacyServer(handle?: (exchange: Exchange) => void): Promise<HandmadeUpstream> {
  const server = await startHandmade({ era: 'legacy', ...(handle !== undefined && { handle }) })
  cleanUp.push(() => server.close())
  return server
}

/** Keeps calls unanswered. Which parameters the tools want in headers is asked before the first call. */
const holding = (held: Exchange[]) => (exchange: Exchange) => {
  if (exchange.rpcMethod === 'tools/list') exchange.result({ resultType: 'complete', tools: [] })
  else held.push(exchange)
}

const code = (message: unknown) => at(message, 'error', 'code')

describe('bad lines', () => {
  test('are answered one by one, and the connection lives on', async () => {
    const server = await legacyServer()
    const audit = createMemoryAuditRecorder()
    const line = connect({ servers: { l: { url: server.url } }, audit }, 'l')
    const bad: [string | Buffer, number][] = [
      ['nonsense', -32700],
      ['{"jsonrpc":"2.0","id":1', -32700],
      [Buffer.from('{"a":"\xff"}', 'latin1'), -32700],
      ['7', -32600],
      ['{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600],
      ['{"jsonrpc":"2.0","id":12345678901234567890,"id":2,"method":"ping"}', -32600],
      [`{"jsonrpc":"2.0","id":3,"method":"a","params":{"a":${'['.repeat(200)}${']'.repeat(200)}}}`, -32600],
      ['[{"jsonrpc":"2.0","id":4,"method":"ping"}]', -32600],
      ['{"jsonrpc":"2.0","id":5,"method":"ping"}', -32600],
    ]
    for (const [text, expected] of bad) {
      const before = line.said.length
      line.write(Buffer.concat([Buffer.from(text), Buffer.from('\r\n')]))
      await until(() => line.said.length > before, 'an answer')
      expect(code(line.said.at(-1))).toBe(expected)
    }
    expect(audit.entries()).toHaveLength(bad.length)
    expect(audit.entries().every(({ outcome }) => outcome?.status === 'refused')).toBe(true)
    expect(server.all.filter(({ rpcMethod }) => rpcMethod === 'ping')).toEqual([])
    line.say(initialize({}, 'hello'))
    expect(at(await line.answer('hello'), 'result', 'protocolVersion')).toBe('2025-11-25')
    line.say(initialize({}, 'again'))
    expect(code(await line.answer('again'))).toBe(-32600)
    line.say({ jsonrpc: '2.0', id: 'call', method: 'tools/call', params: { name: 'x' } })
    expect(at(await line.answer('call'), 'result')).toBeDefined()
  })

  test('a line beyond the limit ends the connection, with a word about it', async () => {
    const server = await legacyServer()
    const audit = createMemoryAuditRecorder()
    const line = connect({ servers: { l: { url: server.url } }, limits: { bodyBytes: 1_000 }, audit })
    line.write('x'.repeat(600))
    line.write('x'.repeat(600))
    await until(() => line.said.length === 1, 'an answer')
    expect(code(line.said[0])).toBe(-32600)
    expect(audit.entries()).toMatchObject([{ outcome: { status: 'refused', code: -32600 } }])
    await line.end()
  })

  test('a handshake inside a batch is refused, the rest of the batch is not', async () => {
    const server = await legacyServer()
    const line = connect({ servers: { l: { url: server.url } } }, 'l')
    line.say(initialize({ version: '2025-03-26' }, 0))
    await line.answer(0)
    const before = server.all.length
    line.say([initialize({}, 8), { jsonrpc: '2.0', id: 9, method: 'tools/call', params: { name: 'x' } }])
    await until(() => line.said.length === 2, 'the answers')
    const answers = line.said[1]
    const list: unknown[] = Array.isArray(answers) ? answers : []
    expect(code(list.find((it) => at(it, 'id') === 8))).toBe(-32600)
    expect(
      at(
        list.find((it) => at(it, 'id') === 9),
        'result',
      ),
    ).toBeDefined()
    expect(server.all.slice(before).some(({ rpcMethod }) => rpcMethod === 'initialize')).toBe(false)
  })
})

describe('both eras on one line', () => {
  test('an id is in use until it is answered', async () => {
    const held: Exchange[] = []
    const server = await startHandmade({ handle: holding(held) })
    cleanUp.push(() => server.close())
    const line = connect({ servers: { m: { url: server.url } } }, 'm')
    const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'x', _meta: envelope } }
    line.say(call)
    await until(() => held.length === 1, 'the call arrived')
    line.say(call)
    await until(() => line.said.length === 1, 'the second was refused')
    expect(code(line.said[0])).toBe(-32600)
    held[0]?.result({ x: 1 })
    await until(() => line.said.length === 2, 'the first was answered')
    expect(at(line.said[1], 'result', 'x')).toBe(1)
  })

  test.each(['a\nb', 'a\r\nX-Evil: 1', 'méthode', '\u{1f600}', '', ' ', '\0'])(
    'a method %j that no header can carry is answered, and injects nothing',
    async (method) => {
      const server = await startHandmade()
      cleanUp.push(() => server.close())
      const line = connect({ servers: { m: { url: server.url } } }, 'm')
      line.say({ jsonrpc: '2.0', id: 1, method, params: { name: 'a\r\nb', _meta: envelope } })
      const answer = await line.answer(1)
      expect(at(answer, 'error') ?? at(answer, 'result')).toBeDefined()
      expect(server.arrived.every(({ headers }) => headers['x-evil'] === undefined)).toBe(true)
    },
  )

  test('cancelling by notification, and ending in the middle', async () => {
    const held: Exchange[] = []
    const server = await startHandmade({ handle: holding(held) })
    cleanUp.push(() => server.close())
    const line = connect({ servers: { m: { url: server.url } } }, 'm')
    line.say({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'x', _meta: envelope } })
    await until(() => held.length === 1, 'the call arrived')
    line.say({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } })
    await until(() => held[0]?.hungUp === true, 'the server was told')
    line.say({ jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name: 'y', _meta: envelope } })
    await until(() => held.length === 2, 'the second call arrived')
    const ended = line.end()
    held[1]?.result({ y: 1 })
    await ended
    expect(line.said).toMatchObject([{ id: 2, result: { y: 1 } }])
  })
})

test('a session on stdio does not grow old: it ends with its connection', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  const clock = createFakeClock()
  const server = await legacyServer((exchange) => {
    if (at(exchange.message, 'id') === undefined) exchange.response.writeHead(202).end()
    else {
      const event = exchange.stream()
      event({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: 1 } })
      event({ jsonrpc: '2.0', id: at(exchange.message, 'id'), result: {} })
      exchange.response.end()
    }
  })
  const line = connect(
    { servers: { l: { url: server.url } }, now: clock.now, limits: { sessionIdleMs: 60_000 } },
    'l',
  )
  line.say(initialize({}, 0))
  await line.answer(0)
  const handshakes = () => server.all.filter(({ rpcMethod }) => rpcMethod === 'initialize').length
  const before = handshakes()
  clock.advance(600_000)
  await vi.advanceTimersByTimeAsync(30_000)
  line.say({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'x', _meta: { progressToken: 1 } },
  })
  await line.answer(1)
  expect(line.said.map((it) => at(it, 'method'))).toContain('notifications/progress')
  expect(handshakes()).toBe(before)
})

describe('a client that does not read what it is sent', () => {
  const MB = 1024 * 1024

  async function unread(limits: GatewayOptions['limits']) {
    const flooding: Exchange[] = []
    const server = await startHandmade({
      handle: (exchange) => {
        if (at(exchange.message, 'params', 'name') === 'flood') {
          flooding.push(exchange)
          const tell = exchange.stream()
          tell({
            jsonrpc: '2.0',
            method: 'notifications/progress',
            params: { progressToken: 't', progress: 1, message: 'x'.repeat(MB) },
          })
        } else exchange.result({ resultType: 'complete', content: [{ type: 'text', text: 'x'.repeat(MB) }] })
      },
    })
    const logger = collectingLogger()
    const gateway = createGateway({
      servers: { m: { url: server.url } },
      logger,
      ...(limits !== undefined && { limits }),
    })
    await gateway.ready()
    const input = new PassThrough({ highWaterMark: MB })
    const output = new PassThrough()
    const connection = serveStdio(gateway, { input, output, server: 'm' })
    cleanUp.push(
      () => server.close(),
      () => gateway.close({ deadlineMs: 0 }),
    )
    const call = (id: number, name = 'x') =>
      input.write(
        `${JSON.stringify({
          jsonrpc: '2.0',
          id,
          method: 'tools/call',
          params: { name, _meta: { ...envelope, progressToken: 't' } },
        })}\n`,
      )
    return { server, logger, input, output, connection, call, flooding }
  }

  test('is not asked for more until it has read', async () => {
    const { server, input, output, call } = await unread({ bufferedBytes: 4 * MB, callsPerPrincipal: 4 })
    const calls = 40
    // one after the other, as far as the gateway takes them
    let sent = 0
    const arrived = () => server.arrived.filter(({ rpcMethod }) => rpcMethod === 'tools/call').length
    while (sent < calls && !input.isPaused()) {
      call(++sent)
      await until(() => arrived() === sent || input.isPaused(), 'it is taken, or not')
    }
    expect(input.isPaused()).toBe(true)
    expect(arrived()).toBeLessThan(calls / 2)
    const before = arrived()
    call(++sent)
    let text = 0
    output.on('data', (chunk: Buffer) => void (text += chunk.length))
    await until(() => text > before * MB && arrived() === sent, 'it goes on once the client reads')
  })

  test('is given up when it takes nothing at all, and its calls with it', async () => {
    const { logger, connection, call, flooding, input } = await unread({ stalledWriteMs: 200 })
    call(1, 'flood')
    await connection.closed
    expect(input.destroyed).toBe(true)
    expect(logger.lines.find(({ message }) => message.includes('does not read'))?.fields).toMatchObject({
      limit: 'stalledWriteMs',
    })
    await until(() => flooding[0]?.hungUp === true, 'the server is told')
  })
})

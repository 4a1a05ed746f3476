import type { AuditRecorder, AuditTicket } from '@sallyport/core'
import { describe, expect, it } from 'vitest'
import { startGateway, until } from './harness.ts'
import { at, type Json, modern, modernStart, RawSession } from './raw-client.ts'
import { isHttpTurn, startScriptedHttp } from './scripted-http.ts'
import { scriptedRuntime } from './scripted-runtime.ts'
import { type Script, text, type Turn } from './scripted-server.ts'

const readOnly = { name: 'look', inputSchema: { type: 'object' }, annotations: { readOnlyHint: true } }
const idempotent = { name: 'set', inputSchema: { type: 'object' }, annotations: { idempotentHint: true } }
const plain = { name: 'pay', inputSchema: { type: 'object' }, annotations: { readOnlyHint: false } }

/** Breaks off the first calls of each tool. */
function breaking(times: number, before?: (turn: Turn) => Promise<void>): Script {
  const counts = new Map<string, number>()
  return {
    name: 's',
    tools: [readOnly, idempotent, plain, 'bare'],
    resources: [{ uri: 'x:1', name: 'one' }],
    call: (turn, tool) => breakOff(turn, tool, counts, times, before),
    on: { 'resources/read': (turn) => breakOff(turn, 'read', counts, times, before) },
  }
}

async function breakOff(
  turn: Turn,
  key: string,
  counts: Map<string, number>,
  times: number,
  before?: (turn: Turn) => Promise<void>,
): Promise<unknown> {
  const count = (counts.get(key) ?? 0) + 1
  counts.set(key, count)
  if (count > times || !isHttpTurn(turn)) return text(`answered attempt ${count}`)
  await before?.(turn)
  turn.drop()
  return turn.silence()
}

const retry = { onlyIf: 'annotated' } as const
const broken = { code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: false }

describe('a call that was lost on the way', () => {
  it('is made again if the server marks the tool as harmless and the configuration allows it', async () => {
    const server = await startScriptedHttp(breaking(1))
    const { url, at: path } = await startGateway({ servers: { s: { url: server.url, retry } } })
    for (const [endpoint, prefix] of [
      [url, 's__'],
      [path('s'), ''],
    ]) {
      const session = await RawSession.open(String(endpoint))
      const before = server.messages('tools/call').length
      for (const tool of prefix === '' ? ['set'] : ['look'])
        expect(at(await session.call(`${prefix}${tool}`), 'result')).toEqual(text('answered attempt 2'))
      expect(server.messages('tools/call').length - before).toBe(2)
      const lost = await session.call(`${prefix}${prefix === '' ? 'bare' : 'pay'}`)
      expect(at(lost, 'error', 'data')).toEqual(broken)
      expect(server.messages('tools/call').length - before).toBe(3)
    }
    const session = await RawSession.open(path('s'))
    const read = await session.request('resources/read', { uri: 'x:1' })
    expect(at(read, 'result')).toEqual(text('answered attempt 2'))
  })

  it('is not made again without that configuration, nor more often than it says', async () => {
    const server = await startScriptedHttp(breaking(2))
    const { at: path } = await startGateway({
      servers: {
        off: { url: server.url },
        once: { url: server.url, retry },
        twice: { url: server.url, retry: { ...retry, attempts: 2 } },
      },
    })
    const outcome = async (name: string, tool: string) => {
      const session = await RawSession.open(path(name))
      const before = server.messages('tools/call').length
      const answer = await session.call(tool)
      const attempts = server.messages('tools/call').length - before
      return { attempts, text: at(answer, 'result', 'content', 0, 'text'), data: at(answer, 'error', 'data') }
    }
    expect(await outcome('off', 'look')).toMatchObject({ attempts: 1, data: broken })
    expect(await outcome('once', 'set')).toMatchObject({ attempts: 2, data: broken })
    // its first attempt was that of "off"
    expect(await outcome('twice', 'look')).toMatchObject({ attempts: 2, text: 'answered attempt 3' })
  })

  it('is not made again once its caller has heard something of it', async () => {
    const heard = Promise.withResolvers<void>()
    const progress = {
      jsonrpc: '2.0',
      method: 'notifications/message',
      params: { level: 'info', data: 'half' },
    }
    const server = await startScriptedHttp(
      breaking(1, (turn) => {
        turn.send(progress)
        return heard.promise
      }),
    )
    const { at: path } = await startGateway({ servers: { s: { url: server.url, retry } } })
    const session = await RawSession.open(path('s'), { version: '2025-06-18' })
    const stream = await session.start('tools/call', { name: 'look' })
    await until(() => expect(stream.messages.length).toBe(1))
    heard.resolve()
    await stream.ended
    expect(at(stream.messages, 1, 'error', 'data')).toEqual(broken)
    expect(server.messages('tools/call').length).toBe(1)
  })

  it('is made again in a new process if the old one died', async () => {
    let calls = 0
    const runtime = scriptedRuntime({
      s: {
        name: 's',
        tools: [readOnly],
        call: ({ link }) => {
          if (++calls > 1) return text(link.id)
          runtime.processes.at(-1)?.crash()
          return new Promise(() => {})
        },
      },
    })
    const { gateway, at: path } = await startGateway({ servers: { s: { command: 's', retry } }, runtime })
    await gateway.ready()
    const session = await RawSession.open(path('s'))
    expect(at(await session.call('look'), 'result')).toEqual(text(runtime.processes.at(-1)?.id ?? ''))
    expect(calls).toBe(2)
  })
})

describe('a call of the modern era', () => {
  it('whose process ended while the call was being recorded goes to a new one', async () => {
    const runtime = scriptedRuntime({ s: modernScript() })
    let record: (() => void) | undefined
    const audit: AuditRecorder = {
      begin: ({ method }) =>
        method === 'tools/call'
          ? new Promise<AuditTicket>((resolve) => {
              record = () => resolve({ end() {} })
            })
          : { end() {} },
    }
    const { gateway, at: path } = await startGateway({ servers: { s: { command: 's' } }, runtime, audit })
    await gateway.ready()
    const answer = modern(path('s'), 'tools/call', { name: 't' })
    await until(() => expect(record).toBeDefined())
    runtime.processes.at(-1)?.crash()
    record?.()
    expect(at(await answer, 'result', 'content', 0, 'text')).toBe(runtime.processes.at(-1)?.id)
  })
})

function modernScript(): Script {
  return {
    name: 's',
    tools: ['t'],
    on: {
      'server/discover': () => ({
        resultType: 'complete',
        supportedVersions: ['2026-07-28'],
        capabilities: { tools: {} },
        serverInfo: { name: 's', version: '1' },
      }),
    },
    call: ({ link }) => text(link.id),
  }
}

describe('calls that wait for others of the same server', () => {
  it('go in turn, and one that is withdrawn meanwhile never gets there', async () => {
    const finish: (() => void)[] = []
    const names: unknown[] = []
    const ends: string[] = []
    let begun = 0
    const runtime = scriptedRuntime({
      s: {
        ...modernScript(),
        call: ({ params }) => {
          names.push(at(params, 'arguments', 'n'))
          return new Promise((resolve) => finish.push(() => resolve(text('done'))))
        },
      },
    })
    const { gateway, at: path } = await startGateway({
      servers: { s: { command: 's' } },
      runtime,
      audit: {
        begin: ({ method }) => {
          if (method === 'tools/call') begun++
          return { end: ({ status }) => void ends.push(status) }
        },
      },
      limits: { callsPerServer: 1, queuedCallsPerServer: 2 },
    })
    await gateway.ready()
    const call = (n: number) =>
      modernStart(path('s'), 'tools/call', { name: 't', arguments: { n } }, { id: n })
    const first = call(1)
    await until(() => expect(names).toEqual([1]))
    const controller = new AbortController()
    const withdrawn = fetchModern(path('s'), 2, controller.signal)
    const third = call(3)
    await until(() => expect(begun).toBe(3))
    // the queue has two places
    const refused = await modern(path('s'), 'tools/call', { name: 't', arguments: { n: 4 } }, { id: 4 })
    expect(at(refused, 'error', 'data')).toMatchObject({
      code: 'ERR_UPSTREAM_UNAVAILABLE',
      retrySafe: true,
      retryAfterMs: 10_000,
    })
    expect(at(refused, 'error', 'message')).toContain('is busy: 1 calls are open and 2 wait')
    controller.abort()
    await expect(withdrawn).rejects.toThrow()
    await until(() => expect(ends).toContain('cancelled'))
    await until(() => expect(runtime.of('s').length).toBe(1))
    const fifth = call(5)
    finish[0]?.()
    await (await first).ended
    await until(() => expect(names.length).toBe(2))
    finish[1]?.()
    await until(() => expect(names.length).toBe(3))
    finish[2]?.()
    await (await third).ended
    await (await fifth).ended
    expect(new Set(names)).toEqual(new Set([1, 3, 5]))
  })
})

async function fetchModern(url: string, id: number, signal: AbortSignal): Promise<Response> {
  const meta: Json = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  }
  const params = { name: 't', arguments: { n: id }, _meta: meta }
  return fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': 'tools/call',
      'mcp-name': 't',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params }),
    signal,
  })
}

describe('a legacy server over HTTP', () => {
  it('is told when a call has taken too long', async () => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'], call: (turn) => turn.silence() })
    const { at: path } = await startGateway({ servers: { s: { url: server.url, timeoutMs: 200 } } })
    const session = await RawSession.open(path('s'))
    const answer = await session.request('tools/call', { name: 't' }, 'mine')
    expect(at(answer, 'error', 'data', 'code')).toBe('ERR_UPSTREAM_TIMEOUT')
    await until(() => {
      const [told] = server.messages('notifications/cancelled')
      expect(at(told, 'params')).toEqual({ requestId: 'mine', reason: 'timeout' })
    })
  })

  it('is never told that its handshake is cancelled', async () => {
    const server = await startScriptedHttp({
      name: 's',
      tools: ['t'],
      on: { initialize: (turn) => turn.silence() },
    })
    const { gateway, log } = await startGateway({
      servers: { s: { url: server.url, transport: 'streamable-http' } },
      limits: { probeMs: 200 },
    })
    await gateway.ready()
    await until(() => expect(log.join('\n')).toContain('did not answer initialize in time'))
    expect(server.messages('notifications/cancelled')).toEqual([])
  })
})

describe('a list', () => {
  it('does not wait for a server that keeps failing', async () => {
    const good = await startScriptedHttp({ name: 'good', tools: ['t'] })
    let lists = 0
    const bad = await startScriptedHttp({
      name: 'bad',
      tools: ['t'],
      on: {
        'tools/list': (turn) => {
          lists++
          return turn.silence()
        },
      },
    })
    const { gateway, url } = await startGateway({
      servers: { good: { url: good.url }, bad: { url: bad.url } },
      limits: { listMs: 100, breakerFailures: 2, breakerMs: 60_000 },
    })
    await gateway.ready()
    const session = await RawSession.open(url)
    for (let count = 0; count < 5; count++) {
      const answer = await session.request('tools/list')
      expect(at(answer, 'result', 'tools', 0, 'name')).toBe('good__t')
      expect(at(answer, 'result', '_meta')).toEqual({ 'sallyport/unavailable': ['bad'] })
    }
    expect(lists).toBe(2)
  })
})

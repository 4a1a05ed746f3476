import { describe, expect, it } from 'vitest'
import { connectV1, connectV2, startFixture, startGateway, stdioFixture, textOf, until } from './harness.ts'
import { at, type Json, modern, modernStart, RawSession } from './raw-client.ts'
import { isHttpTurn, startScriptedHttp } from './scripted-http.ts'
import { type ScriptedProcess, scriptedRuntime } from './scripted-runtime.ts'
import { type Script, text, type Turn } from './scripted-server.ts'

const progressMethod = 'notifications/progress'

function progressOf(messages: readonly Json[]) {
  return messages
    .filter(({ method }) => method === progressMethod)
    .map((message) => [at(message, 'params', 'progressToken'), at(message, 'params', 'progress')])
}

describe('progress', () => {
  it('comes to clients of both SDKs and both eras, over HTTP and stdio', async () => {
    const fixture = await startFixture()
    const { gateway, url } = await startGateway({
      servers: { fix: { url: fixture.url }, pipe: stdioFixture('dual') },
    })
    await gateway.ready()
    for (const client of [await connectV1(url), await connectV2(url, 'modern')]) {
      for (const server of ['fix', 'pipe']) {
        const seen: number[] = []
        const onprogress = ({ progress }: { progress: number }) => void seen.push(progress)
        const params = { name: `${server}__progress`, arguments: { n: 3 } }
        const result = await callWithProgress(client, params, onprogress)
        expect(textOf(result)).toMatch(/^token=/)
        expect(seen).toEqual([1, 2, 3])
      }
    }
  })

  it.each(['legacy', 'modern'] as const)(
    'of two %s callers with one token on one process does not mix',
    async (era) => {
      const tokens: unknown[] = []
      const gates: (() => void)[] = []
      const runtime = scriptedRuntime({
        s: {
          tools: ['t'],
          on: {
            'server/discover': () =>
              era === 'modern'
                ? { resultType: 'complete', supportedVersions: ['2026-07-28'], capabilities: { tools: {} } }
                : Promise.reject(new Error('unknown')),
          },
          call: async (turn) => {
            const progressToken = at(turn.params, '_meta', 'progressToken')
            tokens.push(progressToken)
            await new Promise<void>((resolve) => gates.push(resolve))
            for (let progress = 1; progress <= Number(at(turn.params, 'arguments', 'n')); progress++) {
              turn.send({ jsonrpc: '2.0', method: progressMethod, params: { progressToken, progress } })
              await new Promise((resolve) => setImmediate(resolve))
            }
            return text('done')
          },
        },
      })
      const { gateway, at: path } = await startGateway({ servers: { s: { command: 's' } }, runtime })
      await gateway.ready()
      const meta = { progressToken: 'same' }
      const legacyCall = async (n: number) =>
        (await RawSession.open(path('s'))).start(
          'tools/call',
          { name: 't', arguments: { n }, _meta: meta },
          1,
        )
      const modernCall = (n: number) =>
        modernStart(path('s'), 'tools/call', { name: 't', arguments: { n } }, { meta })
      const call = era === 'modern' ? modernCall : legacyCall
      const pending = [call(2), call(5)]
      await until(() => expect(gates.length).toBe(2))
      gates.forEach((open) => open())
      const [two, five] = await Promise.all(
        pending.map(async (opening) => {
          const stream = await opening
          await stream.ended
          return stream.messages
        }),
      )
      expect(progressOf(two ?? [])).toEqual([1, 2].map((step) => ['same', step]))
      expect(progressOf(five ?? [])).toEqual([1, 2, 3, 4, 5].map((step) => ['same', step]))
      expect([two?.at(-1)?.['id'], five?.at(-1)?.['id']]).toEqual([1, 1])
      // the server saw tokens of the gateway's own
      expect(new Set(tokens).size).toBe(2)
      expect(tokens).not.toContain('same')
    },
  )

  it.each([7, 0, 'seven', 'ü"\\', 1.5])('token %j comes back as it was', async (token) => {
    const runtime = scriptedRuntime({
      s: {
        name: 's',
        tools: ['t'],
        call: (turn) => {
          const progressToken = at(turn.params, '_meta', 'progressToken')
          turn.send({ jsonrpc: '2.0', method: progressMethod, params: { progressToken, progress: 1 } })
          turn.send({
            jsonrpc: '2.0',
            method: progressMethod,
            params: { progressToken: 'nobody', progress: 2 },
          })
          return text(typeof progressToken)
        },
      },
    })
    const { url } = await startGateway({ servers: { s: { command: 's' } }, runtime })
    const session = await RawSession.open(url)
    const stream = await session.start('tools/call', { name: 's__t', _meta: { progressToken: token } })
    await stream.ended
    expect(progressOf(stream.messages)).toEqual([[token, 1]])
  })
})

async function callWithProgress(
  client: Awaited<ReturnType<typeof connectV1>> | Awaited<ReturnType<typeof connectV2>>,
  params: { name: string; arguments: Record<string, unknown> },
  onprogress: (progress: { progress: number }) => void,
): Promise<object> {
  if ('experimental' in client) return client.callTool(params, undefined, { onprogress })
  return client.callTool(params, { onprogress })
}

describe('cancellation', () => {
  const script = (name: string): Script => ({ name, tools: ['hang'], call: (turn: Turn) => turn.silence() })

  it.each(['HTTP', 'stdio'] as const)(
    'by notification reaches a legacy server over %s, under its own id',
    async (transport) => {
      const http = await startScriptedHttp(script('s'))
      const runtime = scriptedRuntime({ s: script('s') })
      const { url } = await startGateway({
        servers: { s: transport === 'HTTP' ? { url: http.url } : { command: 's' } },
        runtime,
      })
      const session = await RawSession.open(url)
      const pending = session.start('tools/call', { name: 's__hang' }, 'my-id')
      const received = (): readonly Json[] =>
        transport === 'HTTP'
          ? http.received.flatMap(({ message }) => (message === undefined ? [] : [message]))
          : runtime.processes.flatMap((each) => each.received)
      const call = await until(() => {
        const found = received().find(({ method }) => method === 'tools/call')
        if (found === undefined) throw new Error('not called')
        return found
      })
      await session.notify('notifications/cancelled', { requestId: 'other' })
      await session.notify('notifications/cancelled', { requestId: 'my-id', reason: 'enough' })
      const cancelled = await until(() => {
        const found = received().filter(({ method }) => method === 'notifications/cancelled')
        expect(found.length).toBe(1)
        return found[0]
      })
      expect(at(cancelled, 'params')).toEqual({ requestId: call['id'], reason: 'enough' })
      const stream = await pending
      await stream.ended
      expect(stream.messages).toEqual([])
    },
  )

  it('of a call that has not left yet keeps it from the server', async () => {
    let shake: () => void = () => {}
    const server = await startScriptedHttp({
      name: 's',
      tools: ['t'],
      on: {
        initialize: async (turn) => {
          if (server.messages('initialize').length > 1)
            await new Promise<void>((resolve) => (shake = resolve))
          return {
            protocolVersion: at(turn.params, 'protocolVersion'),
            capabilities: { tools: {} },
            serverInfo: {},
          }
        },
      },
    })
    const { gateway, url } = await startGateway({ servers: { s: { url: server.url } } })
    await gateway.ready()
    const session = await RawSession.open(url)
    const pending = session.start('tools/call', { name: 's__t' }, 1)
    await until(() => expect(server.messages('initialize').length).toBe(2))
    await session.notify('notifications/cancelled', { requestId: 1 })
    await (await pending).ended
    shake()
    await session.call('s__t', { second: true })
    expect(server.messages('tools/call').map((message) => at(message, 'params', 'arguments'))).toEqual([
      { second: true },
    ])
  })

  it('by hanging up reaches a modern server, over HTTP and stdio', async () => {
    const fixture = await startFixture()
    const { gateway, url } = await startGateway({
      servers: { fix: { url: fixture.url }, pipe: stdioFixture('modern') },
    })
    await gateway.ready()
    for (const server of ['fix', 'pipe']) {
      const params = { name: `${server}__slow`, arguments: { ms: 60_000, key: 'k' } }
      const stream = await modernStart(url, 'tools/call', params, { meta: { progressToken: 1 } })
      await until(() => expect(stream.messages.length).toBe(1))
      stream.abort()
      await until(async () => {
        const answer = await modern(url, 'tools/call', { name: `${server}__cancellations`, arguments: {} })
        expect(at(answer, 'result', 'content', 0, 'text')).toContain('"key":"k"')
      })
    }
  })

  it('is not what a lost connection means in the legacy era: the answer can be fetched', async () => {
    let answer: () => void = () => {}
    const server = await startScriptedHttp({
      name: 's',
      tools: ['t'],
      call: async (turn) => {
        if (isHttpTurn(turn))
          turn.send({ jsonrpc: '2.0', method: progressMethod, params: { progressToken: 1, progress: 1 } })
        await new Promise<void>((resolve) => (answer = resolve))
        return text('late')
      },
    })
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    const stream = await session.start('tools/call', { name: 's__t', _meta: { progressToken: 1 } }, 9)
    await until(() => expect(stream.messages.length).toBe(1))
    const lastEventId = stream.eventIds.at(-1)
    stream.abort()
    await stream.ended
    const rest = await session.listen(lastEventId)
    answer()
    await until(() => expect(rest.messages.length).toBe(1))
    expect(rest.messages[0]).toMatchObject({ id: 9, result: text('late') })
    expect(server.messages('notifications/cancelled')).toEqual([])
  })

  it('by clients of both SDKs gets through', async () => {
    const fixture = await startFixture()
    const { gateway, url } = await startGateway({ servers: { fix: { url: fixture.url } } })
    await gateway.ready()
    for (const [index, client] of [await connectV1(url), await connectV2(url, 'modern')].entries()) {
      const controller = new AbortController()
      const params = { name: 'fix__slow', arguments: { ms: 60_000, key: `sdk-${index}` } }
      const options = { signal: controller.signal, onprogress: () => controller.abort() }
      const call =
        'experimental' in client
          ? client.callTool(params, undefined, options)
          : client.callTool(params, options)
      await expect(call).rejects.toThrow()
      await until(() => expect(fixture.cancellations().map(({ key }) => key)).toContain(`sdk-${index}`))
    }
  })

  it('is told to the server when a call takes too long', async () => {
    const runtime = scriptedRuntime({ s: script('s') })
    let now = Date.now()
    const { url } = await startGateway({
      servers: { s: { command: 's', timeoutMs: 5_000 } },
      runtime,
      now: () => now,
    })
    const session = await RawSession.open(url)
    const pending = session.call('s__hang')
    await until(() =>
      expect(runtime.processes.some((each) => each.messages('tools/call').length > 0)).toBe(true),
    )
    now += 6_000
    expect(at(await pending, 'error', 'data', 'code')).toBe('ERR_UPSTREAM_TIMEOUT')
    await until(() =>
      expect(runtime.processes.flatMap((each) => each.messages('notifications/cancelled')).length).toBe(1),
    )
  })
})

const logMethod = 'notifications/message'
const levels = ['debug', 'info', 'warning', 'error']

/** A tool that logs once on every level. */
const talkative = (name: string): Script => ({
  name,
  tools: ['log'],
  call: (turn) => {
    for (const level of levels)
      turn.send({ jsonrpc: '2.0', method: logMethod, params: { level, data: name } })
    return text('logged')
  },
})

function levelsIn(messages: readonly object[]): unknown[] {
  return messages.flatMap((message) =>
    at(message, 'method') === logMethod ? [at(message, 'params', 'level')] : [],
  )
}

describe('log levels', () => {
  it('are kept apart for sessions that share a process, which is told the lowest', async () => {
    const runtime = scriptedRuntime({ s: talkative('s') })
    const { at: path } = await startGateway({ servers: { s: { command: 's' } }, runtime })
    const loud = await RawSession.open(path('s'))
    const quiet = await RawSession.open(path('s'))
    await quiet.request('logging/setLevel', { level: 'error' })
    await loud.request('logging/setLevel', { level: 'info' })
    await quiet.request('logging/setLevel', { level: 'warning' })
    const process = runtime
      .of('s')
      .find((each): each is ScriptedProcess => each.messages('logging/setLevel').length > 0)
    expect(process?.messages('logging/setLevel').map((message) => at(message, 'params', 'level'))).toEqual([
      'error',
      'info',
    ])
    const heard = async (session: RawSession) => {
      const stream = await session.start('tools/call', { name: 'log' })
      await stream.ended
      return levelsIn(stream.messages)
    }
    expect(await heard(loud)).toEqual(['info', 'warning', 'error'])
    expect(await heard(quiet)).toEqual(['warning', 'error'])
    expect(levelsIn(loud.received).length + levelsIn(quiet.received).length).toBe(5)
  })

  it('set on the aggregated endpoint reach servers that are open and those that are opened later', async () => {
    const http = await startScriptedHttp(talkative('http'))
    const noLog = await startScriptedHttp({ name: 'nolog', tools: ['t'], capabilities: { tools: {} } })
    const runtime = scriptedRuntime({ pipe: talkative('pipe') })
    const { gateway, url } = await startGateway({
      servers: { http: { url: http.url }, pipe: { command: 'pipe' }, nolog: { url: noLog.url } },
      runtime,
    })
    await gateway.ready()
    const session = await RawSession.open(url)
    await session.call('http__log')
    await session.request('logging/setLevel', { level: 'warning' })
    await until(() => expect(http.messages('logging/setLevel').length).toBe(1))
    await session.listen()
    await session.call('pipe__log')
    await until(() => expect(levelsIn(session.received).slice(-2)).toEqual(['warning', 'error']))
    const told = runtime.processes.flatMap((each) => each.messages('logging/setLevel'))
    expect(told.map((message) => at(message, 'params', 'level'))).toEqual(['warning'])
    await session.call('nolog__t')
    expect(noLog.messages('logging/setLevel')).toEqual([])
    expect(at(await session.request('logging/setLevel', { level: 'loud' }), 'error', 'code')).toBe(-32602)
  })

  it('of a modern request decide over that request alone', async () => {
    const { gateway, at: path } = await startGateway({ servers: { pipe: stdioFixture('modern') } })
    await gateway.ready()
    const call = async (meta: object) => {
      const stream = await modernStart(
        path('pipe'),
        'tools/call',
        { name: 'test_logging_tool', arguments: {} },
        { meta: { ...meta } },
      )
      await stream.ended
      return levelsIn(stream.messages)
    }
    const [silent, informed] = await Promise.all([
      call({}),
      call({ 'io.modelcontextprotocol/logLevel': 'info' }),
    ])
    expect(silent).toEqual([])
    expect(informed).toEqual(['info'])
  })

  it('work for the SDK, with messages of the call that causes them', async () => {
    const { gateway, url } = await startGateway({ servers: { pipe: stdioFixture('legacy') } })
    await gateway.ready()
    const heard: unknown[] = []
    const client = await connectV1(url, {
      prepare: (each) => {
        each.fallbackNotificationHandler = async ({ method, params }) =>
          void heard.push([method, params?.['data']])
      },
    })
    await client.setLoggingLevel('debug')
    await client.callTool({ name: 'pipe__test_tool_with_logging', arguments: {} })
    await until(() => expect(heard.length).toBe(3))
    expect(heard).toContainEqual([logMethod, 'Tool processing data'])
  })
})

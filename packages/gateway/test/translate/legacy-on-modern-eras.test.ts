import type { ServerResponse } from 'node:http'
import { describe, expect, it } from 'vitest'
import { connectV1, startFixture, startGateway, stdioFixture, textOf, until } from '../flow/harness.ts'
import { at, type Json, open, RawSession } from '../flow/raw-client.ts'
import { refuse, startScriptedHttp } from '../flow/scripted-http.ts'
import { scriptedRuntime } from '../flow/scripted-runtime.ts'
import { RpcFailure, type Script, text } from '../flow/scripted-server.ts'
import { complete, modernScript, tool } from './modern-server.ts'

const modernT = modernScript({ tools: [tool('t')], call: () => complete(text('translated')) })
const legacyT: Script = {
  name: 'legacy',
  tools: ['t'],
  call: () => text('passed through'),
  on: {
    'server/discover': () => {
      throw new RpcFailure(-32601, 'Method not found')
    },
  },
}

async function saysOf(session: RawSession, name = 't'): Promise<unknown> {
  const answer = await session.call(name)
  return at(answer, 'result', 'content', 0, 'text') ?? at(answer, 'error')
}

/** An HTTP server whose era a test can change while it runs. */
async function changing(initially: 'modern' | 'legacy' | 'both') {
  const state: { era: 'modern' | 'legacy' | 'both' } = { era: initially }
  const isModern = (message: Json | undefined) =>
    at(message, 'params', '_meta', 'io.modelcontextprotocol/protocolVersion') !== undefined
  const either = (message: Json): Script => (isModern(message) ? modernT : legacyT)
  const script: Script = {
    on: Object.fromEntries(
      ['initialize', 'server/discover', 'tools/list', 'tools/call'].map((method) => [
        method,
        (turn) => {
          const { on, call, tools } = either(turn.message)
          if (method === 'initialize')
            return {
              protocolVersion: '2025-11-25',
              capabilities: { tools: {} },
              serverInfo: { name: 'x', version: '1' },
            }
          const handler = on?.[method]
          if (method === 'tools/call') return call?.(turn, 't')
          return handler === undefined
            ? { tools: [{ name: String(tools?.[0]), inputSchema: {} }] }
            : handler(turn)
        },
      ]),
    ),
  }
  const server = await startScriptedHttp(script, {
    stateless: true,
    intercept: (_request, response: ServerResponse, message) => {
      if (message === undefined) return false
      if (state.era === 'modern' && !isModern(message)) {
        refuse(response, 400, -32022, 'Unsupported protocol version')
        return true
      }
      if (state.era === 'legacy' && isModern(message)) {
        refuse(response, 400, -32000, 'Bad Request: Server not initialized')
        return true
      }
      return false
    },
  })
  return { ...server, state }
}

describe('a server that speaks both eras', () => {
  it.each(['HTTP', 'stdio'])('over %s is spoken to in the client’s own', async (transport) => {
    const fixture = await startFixture({ era: 'dual' })
    const {
      gateway,
      url,
      at: path,
    } = await startGateway({
      servers: { s: transport === 'HTTP' ? { url: fixture.url } : stdioFixture('dual') },
    })
    await gateway.ready()
    for (const [to, name] of [
      [path('s'), 'echo'],
      [url, 's__echo'],
    ] as const) {
      const client = await connectV1(to)
      expect(textOf(await client.callTool({ name, arguments: { a: 1 } }))).toBe('{"a":1}')
    }
    if (transport === 'HTTP') expect(fixture.sessions()).toBe(2)
  })

  it('is believed if it names legacy versions, even after it refused one session', async () => {
    let refuses = true
    const { on = {} } = modernScript({ discover: { supportedVersions: ['2026-07-28', '2025-11-25'] } })
    const runtime = scriptedRuntime({
      s: {
        ...legacyT,
        call: ({ params }) => ('_meta' in params ? complete(text('translated')) : text('passed through')),
        on: {
          ...on,
          initialize: () => {
            if (refuses) throw new RpcFailure(-32603, 'not now')
            return {
              protocolVersion: '2025-11-25',
              capabilities: { tools: {} },
              serverInfo: { name: 's', version: '1' },
            }
          },
        },
      },
    })
    const { gateway, at: path } = await startGateway({ servers: { s: { command: 's' } }, runtime })
    await gateway.ready()
    expect(await saysOf(await RawSession.open(path('s')))).toBe('translated')
    refuses = false
    expect(await saysOf(await RawSession.open(path('s')))).toBe('passed through')
  })
})

describe('a server that speaks the modern era only', () => {
  it.each<[string, Script['on']]>([
    ['an error', {}],
    [
      'its end',
      {
        initialize: (turn) => {
          runtimes
            .at(-1)
            ?.processes.find(({ id }) => id === turn.link.id)
            ?.crash(3)
          return turn.silence()
        },
      },
    ],
    ['silence', { initialize: (turn) => turn.silence() }],
  ])(
    'over stdio answers the first initialize with %s, and that session is served all the same',
    async (_what, on) => {
      const runtime = scriptedRuntime({ s: { ...modernT, on: { ...modernT.on, ...on } } })
      runtimes.push(runtime)
      // nobody has asked the server for its era before
      const { url, at: path } = await startGateway({
        servers: { s: { command: 's' } },
        runtime,
        limits: { probeMs: 300 },
      })
      for (const capabilities of [{}, { sampling: {} }]) {
        const session = await RawSession.open(path('s'), { capabilities })
        expect(await saysOf(session)).toBe('translated')
      }
      expect(await saysOf(await RawSession.open(url), 's__t')).toBe('translated')
      // the refusal is remembered, and the process that serves was never shown it
      expect(runtime.processes.filter((it) => it.messages('initialize').length > 0).length).toBe(1)
      for (const process of runtime.processes)
        expect([process.messages('initialize').length, process.messages('tools/call').length]).toContain(0)
    },
  )

  it.each([400, 404, 405, 500])(
    'over HTTP may refuse initialize with HTTP %i and no message',
    async (status) => {
      const server = await startScriptedHttp(modernT, {
        stateless: true,
        intercept: (_request, response, message) => {
          if (message?.['method'] !== 'initialize') return false
          response.writeHead(status).end('no')
          return true
        },
      })
      const { url, at: path } = await startGateway({ servers: { s: { url: server.url } } })
      expect(await saysOf(await RawSession.open(path('s')))).toBe('translated')
      expect(await saysOf(await RawSession.open(path('s')))).toBe('translated')
      expect(await saysOf(await RawSession.open(url), 's__t')).toBe('translated')
      expect(server.messages('initialize').length).toBe(1)
    },
  )

  it('is tried again after a while: servers get upgraded', async () => {
    let now = Date.now()
    const server = await changing('modern')
    const { at: path } = await startGateway({ servers: { s: { url: server.url } }, now: () => now })
    expect(await saysOf(await RawSession.open(path('s')))).toBe('translated')
    server.state.era = 'both'
    expect(await saysOf(await RawSession.open(path('s')))).toBe('translated')
    now += 11 * 60_000
    expect(await saysOf(await RawSession.open(path('s')))).toBe('passed through')
  })

  it('that is replaced by an older one is noticed, by new sessions and in the middle of one', async () => {
    let now = Date.now()
    const server = await changing('modern')
    const { at: path } = await startGateway({ servers: { s: { url: server.url } }, now: () => now })
    const session = await RawSession.open(path('s'))
    expect(await saysOf(session)).toBe('translated')
    server.state.era = 'legacy'
    now += 60_000
    expect(await saysOf(session)).toBe('passed through')
    expect(await saysOf(await RawSession.open(path('s')))).toBe('passed through')

    server.state.era = 'modern'
    now += 60_000
    // and the way back: the session that was opened there is gone
    expect(await saysOf(session)).toBe('translated')
    expect(await saysOf(await RawSession.open(path('s')))).toBe('translated')

    server.state.era = 'legacy'
    now += 60_000
    expect(await saysOf(await RawSession.open(path('s')))).toBe('passed through')
  })

  it('that is away is an error, and translated for as soon as it is back', async () => {
    let now = Date.now()
    const gone = await startScriptedHttp(modernT, { stateless: true })
    await gone.close()
    const { at: path, url } = await startGateway({ servers: { s: { url: gone.url } }, now: () => now })
    await expect(RawSession.open(path('s'))).rejects.toThrow(/ECONNREFUSED/)
    const session = await RawSession.open(url)
    expect(at(await saysOf(session, 's__t'), 'message')).toContain('ECONNREFUSED')
    await startScriptedHttp(modernT, { stateless: true, port: gone.port })
    now += 2_000
    expect(await saysOf(session, 's__t')).toBe('translated')
  })

  it('that refuses in its own era as well leaves no session behind', async () => {
    let refuses = false
    const server = await startScriptedHttp(modernT, {
      stateless: true,
      intercept: (_request, response, message) => {
        if (!refuses || message?.['method'] !== 'server/discover') return false
        refuse(response, 400, -32021, 'not you')
        return true
      },
    })
    const { gateway, at: path } = await startGateway({ servers: { s: { url: server.url } } })
    await gateway.ready()
    refuses = true
    const stream = await open(path('s'), {
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'initialize',
        params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } },
      }),
    })
    await stream.ended
    expect(stream.messages[0]).toMatchObject({ id: 1, error: { message: 'not you' } })
    expect(stream.headers.get('mcp-session-id')).toBe(null)
  })

  it('and says so nested deeper than a stack goes does not spoil the aggregated endpoint for others', async () => {
    const deep = `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`
    const server = await startScriptedHttp(modernT, {
      stateless: true,
      intercept: (_request, response, message) => {
        if (message?.['method'] !== 'server/discover') return false
        const id = JSON.stringify(message['id'])
        response.writeHead(200, { 'content-type': 'application/json' })
        response.end(
          `{"jsonrpc":"2.0","id":${id},"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"extensions":{"x/y":${deep}}}}}`,
        )
        return true
      },
    })
    const runtime = scriptedRuntime({ other: modernT })
    const { url, at: path } = await startGateway({
      servers: { s: { url: server.url }, other: { command: 'other' } },
      runtime,
    })
    await expect(RawSession.open(path('s'))).rejects.toThrow('nested too deep')
    expect(await saysOf(await RawSession.open(url), 'other__t')).toBe('translated')
  })

  it('may end and start again between two calls of a session', async () => {
    const runtime = scriptedRuntime({ s: modernT })
    const { at: path } = await startGateway({ servers: { s: { command: 's' } }, runtime })
    const session = await RawSession.open(path('s'))
    expect(await saysOf(session)).toBe('translated')
    for (const process of runtime.processes) if (process.running()) process.crash()
    await until(async () => expect(await saysOf(session)).toBe('translated'))
  })

  it('keeps what a session has set when the gateway has to open it again', async () => {
    const server = await changing('legacy')
    let now = Date.now()
    const { at: path } = await startGateway({ servers: { s: { url: server.url } }, now: () => now })
    const session = await RawSession.open(path('s'))
    expect(await saysOf(session)).toBe('passed through')
    await session.request('logging/setLevel', { level: 'error' })
    server.state.era = 'modern'
    now += 60_000
    expect(await saysOf(session)).toBe('translated')
    await until(async () => {
      await saysOf(session)
      expect(
        at(server.messages('tools/call').at(-1), 'params', '_meta', 'io.modelcontextprotocol/logLevel'),
      ).toBe('error')
    })
  })
})

/** Of the table above, whose rows are made before their runtimes. */
const runtimes: ReturnType<typeof scriptedRuntime>[] = []

import { describe, expect, it } from 'vitest'
import { connectV1, startFixture, startGateway, textOf, until } from './harness.ts'
import { at, type Json, RawSession } from './raw-client.ts'
import { type HttpTurn, isHttpTurn, refuse, startScriptedHttp, writeEvent } from './scripted-http.ts'
import { type Script, text, type Turn } from './scripted-server.ts'

function over(turn: Turn): HttpTurn {
  if (!isHttpTurn(turn)) throw new Error('not over HTTP')
  return turn
}

describe('a legacy server over HTTP', () => {
  it('that closes the stream of a call is polled, and the client gets answer and notifications', async () => {
    const fixture = await startFixture({ era: 'legacy' })
    const { gateway, url, at: path } = await startGateway({ servers: { fix: { url: fixture.url } } })
    await gateway.ready()
    for (const [to, prefix] of [
      [url, 'fix__'],
      [path('fix'), ''],
    ]) {
      const client = await connectV1(String(to))
      const result = await client.callTool({ name: `${prefix}test_reconnection`, arguments: {} })
      expect(textOf(result)).toBe('answered after the stream had been closed')
    }
    const resumed = fixture.received().filter(({ headers }) => headers['last-event-id'] !== undefined)
    expect(resumed.length).toBeGreaterThanOrEqual(2)
  })

  it.each(['ends', 'breaks'] as const)(
    'whose stream %s is asked for the rest, from the last event on',
    async (how) => {
      const asked: string[] = []
      let callId: unknown
      const server = await startScriptedHttp(
        {
          name: 's',
          tools: ['t'],
          call: async (turn) => {
            callId = turn.message['id']
            await over(turn).event(
              'e-1',
              { jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data: 1 } },
              10,
            )
            if (how === 'ends') over(turn).endStream()
            else over(turn).drop()
            return turn.silence()
          },
        },
        {
          resume(lastEventId, response, sessionId) {
            asked.push(`${lastEventId} in ${sessionId === undefined ? 'no session' : 'its session'}`)
            response.writeHead(200, { 'content-type': 'text/event-stream' })
            if (asked.length === 1) {
              writeEvent(
                response,
                { jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data: 2 } },
                'e-2',
              )
              response.end()
              return
            }
            writeEvent(response, { jsonrpc: '2.0', id: callId, result: text('at last') }, 'e-3')
            response.end()
          },
        },
      )
      const { url } = await startGateway({ servers: { s: { url: server.url } } })
      // a revision that knows nothing of polling: its client must not notice
      const session = await RawSession.open(url, { version: '2025-06-18' })
      const stream = await session.start('tools/call', { name: 's__t' }, 5)
      await stream.ended
      expect(asked).toEqual(['e-1 in its session', 'e-2 in its session'])
      expect(
        stream.messages.map(
          (message) => at(message, 'params', 'data') ?? at(message, 'result', 'content', 0, 'text'),
        ),
      ).toEqual([1, 2, 'at last'])
      expect(stream.messages.at(-1)?.['id']).toBe(5)
      expect(server.messages('tools/call').length).toBe(1)
    },
  )

  it('lets a 2025-11-25 client go as well when it closes a stream, and the client finds its answer', async () => {
    let finish: () => void = () => {}
    let callId: unknown
    const server = await startScriptedHttp(
      {
        name: 's',
        tools: ['t'],
        call: async (turn) => {
          callId = turn.message['id']
          await over(turn).event('e-1', undefined, 10)
          over(turn).endStream()
          return turn.silence()
        },
      },
      {
        resume(_lastEventId, response) {
          response.writeHead(200, { 'content-type': 'text/event-stream' })
          response.flushHeaders()
          finish = () => {
            writeEvent(response, { jsonrpc: '2.0', id: callId, result: text('fetched') })
            response.end()
          }
        },
      },
    )
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    const first = await session.start('tools/call', { name: 's__t' }, 'x')
    await first.ended
    expect(first.messages).toEqual([])
    expect(first.eventIds.length).toBe(1)
    expect(first.text()).toContain('retry: 10')
    const rest = await session.listen(first.eventIds[0])
    await until(() =>
      expect(server.received.some(({ headers }) => headers['last-event-id'] === 'e-1')).toBe(true),
    )
    await until(() => {
      finish()
      expect(rest.messages.length).toBe(1)
    })
    expect(rest.messages[0]).toMatchObject({ id: 'x', result: text('fetched') })
  })

  it('that forgot the session while it worked on a call is not asked to do it twice', async () => {
    const server = await startScriptedHttp({
      name: 's',
      tools: ['pay', 't'],
      call: async (turn, tool) => {
        if (tool === 't') return text('fine')
        await over(turn).event('e-1', undefined, 10)
        server.forgetSessions()
        over(turn).drop()
        return turn.silence()
      },
    })
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url, { version: '2025-06-18' })
    const answer = await session.call('s__pay')
    expect(at(answer, 'error', 'message')).toBe('server "s": forgot the session while it worked on this call')
    expect(at(answer, 'error', 'data')).toEqual({ code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: false })
    expect(server.messages('tools/call').length).toBe(1)
    expect(at(await session.call('s__t'), 'result')).toEqual(text('fine'))
  })

  it('that gives up the stream of a call again and again fails the call, and is not asked for ever', async () => {
    let resumes = 0
    const server = await startScriptedHttp(
      {
        name: 's',
        tools: ['t'],
        call: async (turn) => {
          await over(turn).event('e-1', undefined, 1)
          over(turn).endStream()
          return turn.silence()
        },
      },
      {
        resume(_id, response) {
          resumes++
          response.writeHead(200, { 'content-type': 'text/event-stream' })
          response.end('retry: 1\n\n')
        },
      },
    )
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url, { version: '2025-06-18' })
    expect(at(await session.call('s__t'), 'error', 'data', 'code')).toBe('ERR_UPSTREAM_PROTOCOL')
    expect(resumes).toBeLessThan(10)
  })

  it('that lost all sessions gets new ones, and every call that it refused exactly once more', async () => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    const { url, at: path } = await startGateway({ servers: { s: { url: server.url } } })
    for (const [to, tool] of [
      [url, 's__t'],
      [path('s'), 't'],
    ] as const) {
      const session = await RawSession.open(to, { capabilities: { sampling: {} } })
      await session.listen()
      await session.call(tool)
      const seen = server.received.length
      server.forgetSessions()
      const answers = await Promise.all([1, 2, 3].map((number) => session.call(tool, { number })))
      expect(answers.map((answer) => at(answer, 'result', 'content', 0, 'text'))).toEqual(
        [1, 2, 3].map((number) => `s:t:{"number":${number}}`),
      )
      const since = server.received.slice(seen)
      const ran = [...server.links.values()].flatMap(({ received }) =>
        received.filter(({ method }) => method === 'tools/call'),
      )
      expect(ran.map((message) => at(message, 'params', 'arguments', 'number')).toSorted()).toEqual([1, 2, 3])
      // one handshake, with what the client itself had said
      const shaken = since.filter(({ message }) => message?.['method'] === 'initialize')
      expect(shaken.length).toBe(1)
      expect(at(shaken[0]?.message, 'params', 'capabilities')).toEqual({ sampling: {} })
      expect(at(shaken[0]?.message, 'params', 'clientInfo', 'name')).toBe('raw')
    }
  })

  it('with an answer under way when a second call finds the session lost still gives that answer', async () => {
    let answerFirst: () => void = () => {}
    const server: Awaited<ReturnType<typeof startScriptedHttp>> = await startScriptedHttp({
      name: 's',
      tools: ['slow', 't'],
      call: async (_turn, tool) => {
        if (tool === 'slow') await new Promise<void>((resolve) => (answerFirst = resolve))
        return text(tool)
      },
    })
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    const slow = session.call('s__slow')
    await until(() => expect(server.messages('tools/call').length).toBe(1))
    server.forgetSessions()
    expect(at(await session.call('s__t'), 'result')).toEqual(text('t'))
    answerFirst()
    expect(at(await slow, 'result')).toEqual(text('slow'))
    expect(server.messages('tools/call').length).toBe(3)
  })

  it('that refuses the session for ever is given up with a clear error', async () => {
    const server = await startScriptedHttp(
      { name: 's', tools: ['t'] },
      {
        intercept(_request, response, message) {
          if (message?.['method'] !== 'tools/call') return false
          refuse(response, 404, -32001, 'Session not found')
          return true
        },
      },
    )
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    const answer = await session.call('s__t')
    expect(at(answer, 'error', 'message')).toBe('server "s": keeps losing its session')
    expect(server.messages('tools/call').length).toBe(2)
  })

  it('can be restarted on its port: the client neither reconnects nor sees old lists', async () => {
    const script = { name: 's', tools: ['before'] }
    const first = await startScriptedHttp(script)
    const { url } = await startGateway({ servers: { s: { url: first.url } } })
    const session = await RawSession.open(url)
    await session.listen()
    const names = async () => {
      const tools = at(await session.request('tools/list'), 'result', 'tools')
      return Array.isArray(tools) ? tools.map((tool) => at(tool, 'name')) : tools
    }
    expect(await names()).toEqual(['s__before'])
    expect(at(await session.call('s__before'), 'result')).toBeDefined()
    await first.close()
    const away = await session.call('s__before')
    expect(at(away, 'error', 'message')).toMatch(/server "s": cannot be reached at .* \(ECONNREFUSED\)/)
    expect(at(away, 'error', 'data')).toEqual({ code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: true })
    await startScriptedHttp({ ...script, tools: ['before', 'after'] }, { port: first.port })
    expect(at(await session.call('s__before'), 'result')).toBeDefined()
    await until(() =>
      expect(session.received.map(({ method }) => method)).toContain('notifications/tools/list_changed'),
    )
    expect(await names()).toEqual(['s__before', 's__after'])
  })

  it('that was restarted is found out about by the stream that listened, without any call', async () => {
    const script: Script = { name: 's', tools: ['before'] }
    const server = await startScriptedHttp(script)
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    await session.listen()
    await session.request('tools/list')
    await until(() => expect([...server.links.values()].some(({ streams }) => streams.size > 0)).toBe(true))
    const before = server.messages('initialize').length
    server.forgetSessions()
    await until(() => expect(server.messages('initialize').length).toBe(before + 1), 8_000)
    await until(() =>
      expect(session.received.map(({ method }) => method)).toContain('notifications/tools/list_changed'),
    )
  })

  it.each<[string, string, (turn: Turn) => unknown]>([
    ['breaks off', 'broke off the connection', (turn) => (over(turn).drop(), turn.silence())],
    [
      'ends without an answer',
      'ended its answer before the response',
      (turn) => (over(turn).endStream(), turn.silence()),
    ],
    [
      'answers another question',
      'answered with the id of another request',
      (turn) => {
        turn.send({ jsonrpc: '2.0', id: 'other', result: {} })
        return turn.silence()
      },
    ],
  ])('that %s gives an error that says so', async (_how, message, call) => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'], call })
    const { url, at: path } = await startGateway({ servers: { s: { url: server.url } } })
    const answers = [
      await (await RawSession.open(url)).call('s__t'),
      await (await RawSession.open(path('s'))).call('t'),
    ]
    for (const answer of answers) expect(at(answer, 'error', 'message')).toContain(`server "s": ${message}`)
  })

  it.each([
    [500, 'oops', 'answered HTTP 500'],
    [403, '<p>\ngo away</p>\r\n', 'answered HTTP 403'],
    [302, '', 'answered HTTP 302'],
  ])('that answers %s gives an error that says so', async (status, body, message) => {
    const server = await startScriptedHttp(
      { name: 's', tools: ['t'] },
      {
        intercept(_request, response, received) {
          if (received?.['method'] !== 'tools/call') return false
          response.writeHead(status, { location: 'http://127.0.0.1:1/elsewhere' }).end(body)
          return true
        },
      },
    )
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const answer = await (await RawSession.open(url)).call('s__t')
    expect(at(answer, 'error', 'message')).toBe(`server "s": ${message}`)
  })

  it('gets its sessions ended by the gateway when the client ends its own', async () => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    const { url, at: path } = await startGateway({ servers: { s: { url: server.url } } })
    for (const [to, tool] of [
      [url, 's__t'],
      [path('s'), 't'],
    ] as const) {
      const session = await RawSession.open(to)
      await session.call(tool)
      expect(server.links.size).toBe(1)
      await session.end()
      await until(() => expect(server.links.size).toBe(0))
      const gone: Json = await session.call(tool).catch((error: unknown) => ({ failed: String(error) }))
      expect(JSON.stringify(gone)).toMatch(/no such session/)
    }
  })
})

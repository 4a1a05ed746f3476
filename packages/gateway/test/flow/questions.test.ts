import { describe, expect, it } from 'vitest'
import {
  type ConnectOptions,
  connectV1,
  connectV2,
  startFixture,
  startGateway,
  stdioFixture,
  textOf,
  until,
} from './harness.ts'
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from '@modelcontextprotocol/sdk/types.js'
import { at, type Json, RawSession } from './raw-client.ts'
import { startScriptedHttp } from './scripted-http.ts'
import { scriptedRuntime } from './scripted-runtime.ts'
import { type Script, text } from './scripted-server.ts'

const answering = { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } }

/** Its tools ask the client; the answer is the result. Ids are counted from 1, so two servers collide. */
const asking = (name: string, more: Partial<Script> = {}): Script => ({
  name,
  tools: ['sample', 'elicit', 'open', 'roots', 'twice', 'withdrawn', 'quick'],
  async call({ ask, send, params }, tool) {
    const said = at(params, 'arguments', 'say') ?? name
    const sampling = (suffix = ''): [string, Json] => [
      'sampling/createMessage',
      {
        messages: [{ role: 'user', content: { type: 'text', text: `${String(said)}${suffix}` } }],
        maxTokens: 5,
        _meta: { progressToken: 1 },
      },
    ]
    switch (tool) {
      case 'sample':
        return text(JSON.stringify(await ask(...sampling())))
      case 'elicit':
        return text(
          JSON.stringify(
            await ask('elicitation/create', {
              message: String(said),
              requestedSchema: { type: 'object', properties: { who: { type: 'string' } } },
            }),
          ),
        )
      case 'open': {
        const answer = await ask('elicitation/create', {
          mode: 'url',
          message: 'open it',
          url: `https://${name}.example/consent`,
          elicitationId: `${name}-1`,
        })
        send({
          jsonrpc: '2.0',
          method: 'notifications/elicitation/complete',
          params: { elicitationId: `${name}-1` },
        })
        return text(JSON.stringify(answer))
      }
      case 'roots':
        return text(JSON.stringify(await ask('roots/list', {})))
      case 'twice':
        return text(JSON.stringify(await Promise.all([ask(...sampling('-a')), ask(...sampling('-b'))])))
      case 'withdrawn': {
        const id = 'to-be-withdrawn'
        void ask('sampling/createMessage', { messages: [], maxTokens: 1 }, id)
        send({
          jsonrpc: '2.0',
          method: 'notifications/cancelled',
          params: { requestId: id, reason: 'never mind' },
        })
        return text('withdrawn')
      }
      default:
        return text('quick')
    }
  },
  ...more,
})

/** Answers each question with what was asked, and remembers it. */
function echoing(session: RawSession): Json[] {
  const asked: Json[] = []
  session.onRequest = (message) => {
    asked.push(message)
    const said = at(message, 'params', 'messages', 0, 'content', 'text') ?? at(message, 'params', 'message')
    if (message['method'] === 'elicitation/create')
      return { result: { action: 'accept', content: { who: said } } }
    if (message['method'] === 'roots/list') return { result: { roots: [{ uri: 'file:///mine' }] } }
    return {
      result: { role: 'assistant', model: 'm', content: { type: 'text', text: `re: ${String(said)}` } },
    }
  }
  return asked
}

async function answerIn(session: RawSession, name: string, args: Json = {}): Promise<unknown> {
  const answer = await session.call(name, args)
  const inner = at(answer, 'result', 'content', 0, 'text')
  if (typeof inner !== 'string') throw new Error(JSON.stringify(answer))
  return inner.startsWith('{') || inner.startsWith('[') ? JSON.parse(inner) : inner
}

describe('questions of servers', () => {
  it('of every kind are answered by clients of both SDKs, over HTTP and stdio, alone and aggregated', async () => {
    const fixture = await startFixture({ era: 'legacy' })
    const {
      gateway,
      url,
      at: path,
    } = await startGateway({
      servers: { fix: { url: fixture.url }, pipe: stdioFixture('legacy') },
    })
    await gateway.ready()
    const options: ConnectOptions = {
      capabilities: { sampling: {}, elicitation: {}, roots: {} },
      prepare: (client) => {
        client.setRequestHandler(CreateMessageRequestSchema, async ({ params }) => ({
          role: 'assistant',
          model: 'test',
          content: { type: 'text', text: `answer to ${JSON.stringify(params.messages[0]?.content)}` },
        }))
        client.setRequestHandler(ElicitRequestSchema, async () => ({
          action: 'accept',
          content: { username: 'ann', email: 'ann@example.com' },
        }))
        client.setRequestHandler(ListRootsRequestSchema, async () => ({ roots: [{ uri: 'file:///v1' }] }))
      },
    }
    const ends: [string, string][] = [
      [url, 'fix__'],
      [path('fix'), ''],
      [path('pipe'), ''],
    ]
    for (const [to, prefix] of ends) {
      const client = await connectV1(to, options)
      const sampled = await client.callTool({ name: `${prefix}test_sampling`, arguments: { prompt: 'why?' } })
      expect(textOf(sampled)).toContain('answer to')
      const elicited = await client.callTool({
        name: `${prefix}test_elicitation`,
        arguments: { message: 'who?' },
      })
      expect(textOf(elicited)).toContain('"username":"ann"')
    }
    const v2 = await connectV2(url, 'legacy', {
      capabilities: { sampling: {}, elicitation: { form: {} } },
      prepare: (client) => {
        client.setRequestHandler('sampling/createMessage', async () => ({
          role: 'assistant',
          model: 'test',
          content: { type: 'text', text: 'from v2' },
        }))
      },
    })
    const answer = await v2.callTool({ name: 'fix__test_sampling', arguments: { prompt: 'p' } })
    expect(textOf(answer)).toContain('from v2')
  })

  it('of the modern era come as results, and the answers as a second request', async () => {
    const fixture = await startFixture({ era: 'modern' })
    const { gateway, url } = await startGateway({
      servers: { fix: { url: fixture.url }, pipe: stdioFixture('modern') },
    })
    await gateway.ready()
    const client = await connectV2(url, 'modern', {
      capabilities: { elicitation: { form: {} } },
      prepare: (each) => {
        each.setRequestHandler('elicitation/create', async () => ({
          action: 'accept',
          content: { name: 'Ann' },
        }))
      },
    })
    for (const server of ['fix', 'pipe']) {
      const result = await client.callTool({
        name: `${server}__test_input_required_result_elicitation`,
        arguments: {},
      })
      expect(textOf(result)).toBe('Hello, Ann!')
    }
  })

  it.each(['HTTP', 'stdio'] as const)(
    'with one id from two servers over %s go back to the right one',
    async (transport) => {
      const [one, two] = await Promise.all([
        startScriptedHttp(asking('one')),
        startScriptedHttp(asking('two')),
      ])
      const runtime = scriptedRuntime({ one: asking('one'), two: asking('two') })
      const { url } = await startGateway({
        servers:
          transport === 'HTTP'
            ? { one: { url: one.url }, two: { url: two.url } }
            : { one: { command: 'one' }, two: { command: 'two' } },
        runtime,
      })
      const session = await RawSession.open(url, { capabilities: answering })
      const asked = echoing(session)
      await session.listen()
      const answers = await Promise.all([
        answerIn(session, 'one__sample'),
        answerIn(session, 'two__sample'),
        answerIn(session, 'one__twice'),
        answerIn(session, 'two__twice'),
      ])
      const said = (answer: unknown) => at(answer, 'result', 'content', 'text')
      expect(answers.slice(0, 2).map(said)).toEqual(['re: one', 're: two'])
      expect([at(answers[2], 0), at(answers[2], 1), at(answers[3], 0), at(answers[3], 1)].map(said)).toEqual([
        're: one-a',
        're: one-b',
        're: two-a',
        're: two-b',
      ])
      // each server got back the ids it had used
      expect([1, 2, 3]).toContain(at(answers[0], 'id'))
      expect([1, 2, 3]).toContain(at(answers[1], 'id'))
      expect(new Set(asked.map(({ id }) => id)).size).toBe(6)
    },
  )

  it('are shown only to the session that caused them, however many are open', async () => {
    const http = await startScriptedHttp(asking('http'))
    const runtime = scriptedRuntime({ pipe: asking('pipe') })
    const { url } = await startGateway({
      servers: { http: { url: http.url }, pipe: { command: 'pipe' } },
      runtime,
    })
    const sessions = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const session = await RawSession.open(url, { capabilities: answering })
        await session.listen()
        return { session, asked: echoing(session) }
      }),
    )
    const mute = await RawSession.open(url)
    await mute.listen()
    await Promise.all(
      sessions.flatMap(({ session }, index) =>
        ['http__sample', 'pipe__sample', 'http__elicit', 'pipe__elicit'].map(async (tool) => {
          const answer = await answerIn(session, tool, { say: `secret ${index}` })
          expect(JSON.stringify(answer)).toContain(`secret ${index}`)
        }),
      ),
    )
    for (const [index, { asked }] of sessions.entries()) {
      expect(asked.length).toBe(4)
      for (const question of asked) expect(JSON.stringify(question)).toContain(`secret ${index}`)
    }
    // who cannot answer shares a process, which is told that there is nobody to ask
    expect(at(await answerIn(mute, 'pipe__sample'), 'error', 'code')).toBe(-32601)
    expect(mute.received).toEqual([])
    expect(
      runtime.of('pipe').map(({ initialize }) => Object.keys(Object(at(initialize, 'capabilities'))).length),
    ).toEqual(expect.arrayContaining([0, 3]))
  })

  it('that belong to no call come on the stream of the session, and the answer finds its way back', async () => {
    const server = await startScriptedHttp(asking('s'))
    const runtime = scriptedRuntime({ pipe: asking('pipe') })
    const { url } = await startGateway({
      servers: { s: { url: server.url }, pipe: { command: 'pipe' } },
      runtime,
    })
    const session = await RawSession.open(url, { capabilities: answering })
    echoing(session)
    await session.listen()
    await session.call('s__quick')
    await session.call('pipe__quick')
    const links = await until(() => {
      const own = [...server.links.values()].find(({ streams }) => streams.size > 0)
      const process = runtime
        .of('pipe')
        .find(({ initialize }) => at(initialize, 'capabilities', 'roots') !== undefined)
      if (own === undefined || process === undefined) throw new Error('not open')
      return [own, process]
    })
    for (const link of links) link.push({ jsonrpc: '2.0', id: 'unasked', method: 'roots/list' })
    for (const link of links) {
      await until(() =>
        expect(link.received).toContainEqual({
          jsonrpc: '2.0',
          id: 'unasked',
          result: { roots: [{ uri: 'file:///mine' }] },
        }),
      )
    }
  })

  it('that are declined or answered with an error reach the server as that', async () => {
    const server = await startScriptedHttp(asking('s'))
    const { url, at: path } = await startGateway({ servers: { s: { url: server.url } } })
    for (const [to, prefix] of [
      [url, 's__'],
      [path('s'), ''],
    ] as const) {
      const session = await RawSession.open(to, { capabilities: answering })
      session.onRequest = ({ method }) =>
        method === 'elicitation/create'
          ? { result: { action: 'decline' } }
          : { error: { code: -1, message: 'user rejected', data: { why: [1] } } }
      expect(await answerIn(session, `${prefix}elicit`)).toMatchObject({ result: { action: 'decline' } })
      expect(await answerIn(session, `${prefix}sample`)).toMatchObject({
        error: { code: -1, message: 'user rejected', data: { why: [1] } },
      })
    }
  })

  it('with a URL to open, and the news that it was done, pass unchanged', async () => {
    const server = await startScriptedHttp(asking('s'))
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url, { capabilities: answering })
    session.onRequest = () => ({ result: { action: 'accept' } })
    expect(await answerIn(session, 's__open')).toMatchObject({ result: { action: 'accept' } })
    expect(session.received.map(({ method, params }) => [method, at(params, 'elicitationId')])).toEqual([
      ['elicitation/create', 's-1'],
      ['notifications/elicitation/complete', 's-1'],
    ])
    expect(at(session.received[0], 'params', 'url')).toBe('https://s.example/consent')
  })

  it('for roots go to the session whose call it is, and news of roots to all its servers', async () => {
    const [one, two] = await Promise.all([startScriptedHttp(asking('one')), startScriptedHttp(asking('two'))])
    const { url } = await startGateway({ servers: { one: { url: one.url }, two: { url: two.url } } })
    const session = await RawSession.open(url, { capabilities: answering })
    const other = await RawSession.open(url, { capabilities: answering })
    echoing(session)
    const askedOther = echoing(other)
    expect(await answerIn(session, 'one__roots')).toMatchObject({
      result: { roots: [{ uri: 'file:///mine' }] },
    })
    await answerIn(session, 'two__quick')
    await answerIn(other, 'two__quick')
    await session.notify('notifications/roots/list_changed')
    await until(() => {
      expect(one.messages('notifications/roots/list_changed').length).toBe(1)
      expect(two.messages('notifications/roots/list_changed').length).toBe(1)
    })
    expect(askedOther).toEqual([])
  })

  it('that the server withdraws are withdrawn under the id the client knows, and a late answer is refused', async () => {
    const server = await startScriptedHttp(asking('s'))
    const { url, at: path } = await startGateway({ servers: { s: { url: server.url } } })
    for (const [to, prefix] of [
      [url, 's__'],
      [path('s'), ''],
    ] as const) {
      const session = await RawSession.open(to, { capabilities: answering })
      await session.call(`${prefix}withdrawn`)
      const [question, cancelled] = session.received
      expect(at(question, 'method')).toBe('sampling/createMessage')
      expect(at(cancelled, 'params')).toEqual({ requestId: question?.['id'], reason: 'never mind' })
      if (to !== url) continue
      const late = await session.post({ jsonrpc: '2.0', id: question?.['id'], result: {} })
      expect(late.status).toBe(400)
    }
  })

  it('get the progress of the client under the token of the server that asked', async () => {
    const [one, two] = await Promise.all([startScriptedHttp(asking('one')), startScriptedHttp(asking('two'))])
    const { url } = await startGateway({ servers: { one: { url: one.url }, two: { url: two.url } } })
    const session = await RawSession.open(url, { capabilities: answering })
    const calls = [session.call('one__sample'), session.call('two__sample')]
    const questions = await until(() => {
      expect(session.received.length).toBe(2)
      return session.received
    })
    for (const question of questions) {
      const progressToken = at(question, 'params', '_meta', 'progressToken')
      const progress = at(question, 'params', 'messages', 0, 'content', 'text') === 'one' ? 0.1 : 0.2
      await session.notify('notifications/progress', { progressToken, progress })
      await session.post({ jsonrpc: '2.0', id: question['id'], result: {} })
    }
    await Promise.all(calls)
    const got = (server: typeof one) => server.messages('notifications/progress').map(({ params }) => params)
    await until(() => expect(got(one)).toEqual([{ progressToken: 1, progress: 0.1 }]))
    expect(got(two)).toEqual([{ progressToken: 1, progress: 0.2 }])
  })

  it('cannot be answered by anybody else', async () => {
    const server = await startScriptedHttp(asking('s'))
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url, { capabilities: answering })
    const stranger = await RawSession.open(url, { capabilities: answering })
    const pending = session.call('s__sample')
    const question = await until(() => {
      const [first] = session.received
      if (first === undefined) throw new Error('nothing asked')
      return first
    })
    const forged = await stranger.post({ jsonrpc: '2.0', id: question['id'], result: { forged: true } })
    expect(forged.status).toBe(400)
    const unknown = await session.post({ jsonrpc: '2.0', id: 'never-asked', result: {} })
    expect(unknown.status).toBe(400)
    const real = await session.post({ jsonrpc: '2.0', id: question['id'], result: { real: true } })
    expect(real.status).toBe(202)
    expect(at(await pending, 'result', 'content', 0, 'text')).toContain('real')
    // once only
    expect((await session.post({ jsonrpc: '2.0', id: question['id'], result: {} })).status).toBe(400)
  })
})

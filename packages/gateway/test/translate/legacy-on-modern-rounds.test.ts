import { describe, expect, it } from 'vitest'
import { until } from '../flow/harness.ts'
import { at, type Json, type RawStream, RawSession } from '../flow/raw-client.ts'
import { text, type Turn } from '../flow/scripted-server.ts'
import { behindGateway, complete, modernScript, needsInput, tool, type Transport } from './modern-server.ts'

const everything = {
  sampling: { tools: {} },
  elicitation: { form: {}, url: {} },
  roots: { listChanged: true },
}
const sampling = (said: string, more: Json = {}): Json => ({
  method: 'sampling/createMessage',
  params: { messages: [{ role: 'user', content: { type: 'text', text: said } }], maxTokens: 5, ...more },
})
const form = (message: string): Json => ({
  method: 'elicitation/create',
  params: { mode: 'form', message, requestedSchema: { type: 'object', properties: {} } },
})

/** Its tools ask in rounds; the answers of the last are the result. */
async function asking(transport: Transport, options: Parameters<typeof behindGateway>[2] = {}) {
  const call = ({ params, silence }: Turn, name: string): unknown => {
    const answers = params['inputResponses']
    const state = params['requestState']
    const said = String(at(params, 'arguments', 'say'))
    switch (name) {
      case 'sample':
        return answers === undefined
          ? needsInput({ q: sampling(said) }, `state of ${said} "\\u0001`)
          : done(params)
      case 'all':
        return answers === undefined
          ? needsInput({ a: sampling('x'), b: form('y'), c: { method: 'roots/list' } })
          : done(params)
      case 'open':
        return answers === undefined
          ? needsInput({
              u: { method: 'elicitation/create', params: { mode: 'url', message: 'm', url: 'https://e.x' } },
            })
          : done(params)
      case 'thrice': {
        const round = Number(state ?? 0)
        return round < 3
          ? needsInput({ [`q${round}`]: form(`round ${round}`) }, String(round + 1))
          : done(params)
      }
      case 'again':
        return state === undefined ? needsInput(undefined, 'later') : done(params)
      case 'endless':
        return needsInput(undefined, 'x')
      case 'strange':
        return needsInput({ q: { method: 'tasks/get', params: {} } })
      case 'nothing':
        return needsInput(undefined)
      case 'many':
        return answers === undefined ? needsInput(roots(Number(said))) : done(params)
      case 'much':
        return needsInput({ q: sampling('x'.repeat(4 * 1024 * 1024)) })
      case 'tools':
        return needsInput({ q: sampling('x', { tools: [] }) })
      case 'dies':
        return answers === undefined ? needsInput({ q: form('y') }) : silence()
      default:
        return complete(text('quick'))
    }
  }
  return behindGateway(
    transport,
    modernScript({
      tools: ['sample'].map((name) => tool(name)),
      call,
      on: {
        'prompts/get': ({ params }) =>
          params['inputResponses'] === undefined ? needsInput({ q: form('p') }) : complete({ messages: [] }),
      },
    }),
    options,
  )
}

function done({ inputResponses, requestState }: Json): Json {
  return complete(text(JSON.stringify({ inputResponses, requestState })))
}

function roots(count: number): Json {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`q${index}`, { method: 'roots/list' }]),
  )
}

function resultIn(answer: Json): unknown {
  return JSON.parse(String(at(answer, 'result', 'content', 0, 'text')))
}

function questionsIn(session: RawSession): readonly Json[] {
  return session.received.filter((message) => 'id' in message)
}

describe.each<Transport>(['http', 'stdio'])('a modern server over %s that needs input', (transport) => {
  it('gets it from a legacy client, which sees requests of its server on the stream of the call', async () => {
    const server = await asking(transport)
    for (const url of [server.path, server.url]) {
      const session = await RawSession.open(url, { capabilities: everything })
      session.onRequest = ({ method, params }) =>
        method === 'sampling/createMessage'
          ? { result: { role: 'assistant', model: 'm', content: { type: 'text', text: 'über' }, n: 1.5 } }
          : method === 'roots/list'
            ? { result: { roots: [{ uri: 'file:///r' }] } }
            : { result: { action: 'accept', content: { asked: at(params, 'message') } } }
      const prefix = url === server.url ? 's__' : ''
      expect(resultIn(await session.call(`${prefix}sample`, { say: 'ß' }))).toEqual({
        inputResponses: {
          q: { role: 'assistant', model: 'm', content: { type: 'text', text: 'über' }, n: 1.5 },
        },
        requestState: 'state of ß "\\u0001',
      })
      expect(resultIn(await session.call(`${prefix}all`))).toMatchObject({
        inputResponses: {
          b: { action: 'accept', content: { asked: 'y' } },
          c: { roots: [{ uri: 'file:///r' }] },
        },
      })
      const rounds = resultIn(await session.call(`${prefix}thrice`))
      // answers of earlier rounds are not repeated: the server keeps them in its state
      expect(rounds).toEqual({
        inputResponses: { q2: { action: 'accept', content: { asked: 'round 2' } } },
        requestState: '3',
      })
      expect(resultIn(await session.call(`${prefix}again`))).toEqual({ requestState: 'later' })
      const prompt = await session.request('prompts/get', { name: `${prefix}p` })
      expect(at(prompt, 'result')).toEqual({ messages: [] })
    }
    const calls = server.messages('tools/call')
    expect(new Set(calls.map(({ id }) => id)).size).toBe(calls.length)
    for (const call of calls)
      expect(at(call, 'params', '_meta', 'io.modelcontextprotocol/protocolVersion')).toBeDefined()
  })

  it('asks to open a URL under an id, and the client hears when that is over', async () => {
    const server = await asking(transport)
    const session = await RawSession.open(server.path, { capabilities: everything })
    session.onRequest = () => ({ result: { action: 'accept' } })
    await session.call('open')
    const [question, over] = session.received
    const elicitationId = at(question, 'params', 'elicitationId')
    expect(question).toMatchObject({
      method: 'elicitation/create',
      params: { mode: 'url', url: 'https://e.x' },
    })
    expect(elicitationId).toEqual(expect.any(String))
    expect(over).toMatchObject({ method: 'notifications/elicitation/complete', params: { elicitationId } })
  })

  it('never gets one caller’s answer for another', async () => {
    const server = await asking(transport)
    const sessions = await Promise.all(
      [server.path, server.url, server.path, server.url].map((url) =>
        RawSession.open(url, { capabilities: everything }),
      ),
    )
    const answers = await Promise.all(
      sessions.flatMap((session, index) => {
        session.onRequest = ({ params }) => ({
          result: { from: index, about: at(params, 'messages', 0, 'content', 'text') },
        })
        const prefix = session.url === server.url ? 's__' : ''
        return [1, 2, 3].map(async (turn) => {
          const say = `${index}/${turn}`
          const answer = await session.call(`${prefix}sample`, { say })
          return [resultIn(answer), { from: index, about: say }] as const
        })
      }),
    )
    expect(answers.length).toBe(12)
    for (const [got, expected] of answers) expect(at(got, 'inputResponses', 'q')).toEqual(expected)
  })

  it('hears nothing if the client will not, or was not said to be able to', async () => {
    const server = await asking(transport)
    const unwilling = await RawSession.open(server.path, { capabilities: everything })
    unwilling.onRequest = ({ method }) =>
      method === 'roots/list' ? undefined : { error: { code: -1, message: 'User rejected sampling request' } }
    const refused = await unwilling.call('all')
    expect(at(refused, 'result', 'isError')).toBe(true)
    expect(at(refused, 'result', 'content', 0, 'text')).toContain('User rejected sampling request')
    // what was still open is taken back
    const open = unwilling.received.find(({ method }) => method === 'roots/list')?.['id']
    await until(() =>
      expect(unwilling.received.map((it) => at(it, 'params', 'requestId')).filter(Boolean)).toContain(open),
    )
    const prompt = await unwilling.request('prompts/get', { name: 'p' })
    expect(prompt).toMatchObject({ error: { code: -1 } })
    expect(server.messages('tools/call').length).toBe(1)

    unwilling.onRequest = () => ({ result: { action: 'decline' } })
    expect(resultIn(await unwilling.call('thrice'))).toMatchObject({
      inputResponses: { q2: { action: 'decline' } },
    })

    const unable = await RawSession.open(server.path, { capabilities: { sampling: {}, elicitation: {} } })
    for (const [name, capability] of [
      ['open', 'elicitation.url'],
      ['tools', 'sampling.tools'],
      ['all', 'roots'],
    ] as const) {
      const answer = await unable.call(name)
      expect(at(answer, 'result', 'isError'), name).toBe(true)
      expect(at(answer, 'result', 'content', 0, 'text')).toContain(`"${capability}"`)
    }
    expect(questionsIn(unable)).toEqual([])
  })

  it('must ask in a way that can come to an end', async () => {
    const server = await asking(transport)
    const session = await RawSession.open(server.path, { capabilities: everything })
    for (const [name, message] of [
      ['endless', 'more than 8 times'],
      ['strange', 'of no kind'],
      ['nothing', 'did not say which'],
    ] as const) {
      const answer = await session.call(name)
      expect(at(answer, 'error', 'data', 'code'), name).toBe('ERR_UPSTREAM_PROTOCOL')
      expect(at(answer, 'error', 'message')).toContain(message)
    }
    expect(server.messages('tools/call').filter((it) => at(it, 'params', 'name') === 'endless').length).toBe(
      9,
    )
  })

  it('does not wait for ever for the person', async () => {
    const server = await asking(transport, { limits: { inputRoundMs: 50 } })
    const session = await RawSession.open(server.path, { capabilities: everything })
    const answer = await session.call('sample')
    expect(at(answer, 'result', 'content', 0, 'text')).toContain('did not answer within 50 ms')
    const [question, withdrawn] = session.received
    expect(withdrawn).toMatchObject({
      method: 'notifications/cancelled',
      params: { requestId: question?.['id'] },
    })
    expect(server.messages('tools/call').length).toBe(1)
  })

  it('does not ask a client that has cancelled the call, and no late answer starts it again', async () => {
    const server = await asking(transport)
    for (const url of [server.path, server.url]) {
      const prefix = url === server.url ? 's__' : ''
      const session = await RawSession.open(url, { capabilities: everything })
      const listening = await session.listen()
      const stream = await session.start('tools/call', { name: `${prefix}sample`, arguments: {} }, 'call')
      await until(() => expect(questionsIn(session).length).toBe(1))
      const [question] = questionsIn(session)
      await session.notify('notifications/cancelled', { requestId: 'call' })
      await stream.ended
      await until(() =>
        expect(listening.messages).toContainEqual({
          jsonrpc: '2.0',
          method: 'notifications/cancelled',
          params: { requestId: question?.['id'] },
        }),
      )
      const before = server.messages('tools/call').length
      await session.post({ jsonrpc: '2.0', id: question?.['id'], result: {} })
      expect(at(await session.call(`${prefix}quick`), 'result', 'content', 0, 'text')).toBe('quick')
      expect(server.messages('tools/call').length).toBe(before + 1)
      expect(stream.messages.filter((message) => 'result' in message)).toEqual([])
    }
  })

  it('may go away in the middle: the call fails, the session lives', async () => {
    const server = await asking(transport)
    const session = await RawSession.open(server.path, { capabilities: everything })
    session.onRequest = () => ({ result: { action: 'accept', content: {} } })
    const call: Promise<Json> = session.call('dies')
    await until(() => expect(server.messages('tools/call').length).toBe(2))
    server.crash()
    expect(at(await call, 'error', 'data', 'code')).toBe('ERR_UPSTREAM_UNAVAILABLE')
    expect(at(await session.call('quick'), 'result', 'content', 0, 'text')).toBe('quick')
  })

  it('loses its questions with the session', async () => {
    const server = await asking(transport)
    const session = await RawSession.open(server.path, { capabilities: everything })
    const stream: RawStream = await session.start('tools/call', { name: 'sample', arguments: {} })
    await until(() => expect(questionsIn(session).length).toBe(1))
    await session.end()
    await stream.ended
    expect(server.messages('tools/call').length).toBe(1)
  })

  it('asks a hundred things at once at most, and not too much: beyond that the client is asked nothing', async () => {
    const server = await asking(transport)
    const session = await RawSession.open(server.path, { capabilities: everything })
    session.onRequest = () => ({ result: { roots: [] } })
    for (const [name, say] of [
      ['many', 101],
      ['much', 1],
    ] as const) {
      expect(at(await session.call(name, { say }), 'error', 'data', 'code'), name).toBe(
        'ERR_UPSTREAM_PROTOCOL',
      )
      expect(questionsIn(session).length).toBe(0)
    }
    const answers = at(resultIn(await session.call('many', { say: 100 })), 'inputResponses')
    expect(Object.keys(Object(answers)).length).toBe(100)
  })
})

import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { describe, expect, it } from 'vitest'
import { bearer, believing, until } from '../flow/harness.ts'
import { at, type Json, modern } from '../flow/raw-client.ts'
import { RpcFailure, type Script, text, type Turn } from '../flow/scripted-server.ts'
import {
  answersTo,
  answerTool,
  callTool,
  elicited,
  everything,
  httpLinks,
  questionsOf,
  startLegacyBehind,
  startTool,
  transports,
} from './legacy-behind.ts'

const form = (message: string): Json => ({
  mode: 'form',
  message,
  requestedSchema: { type: 'object', properties: { who: { type: 'string' } } },
  _meta: { progressToken: 7, kept: 1 },
})
const prompt = (say: string): Json => ({
  messages: [{ role: 'user', content: { type: 'text', text: say } }],
  maxTokens: 5,
})

async function tool({ ask, send, params, silence }: Turn, name: string): Promise<unknown> {
  const said = String(at(params, 'arguments', 'say') ?? 'who?')
  switch (name) {
    case 'elicit':
      return text(JSON.stringify(await ask('elicitation/create', form(said))))
    case 'sample':
      return text(JSON.stringify(await ask('sampling/createMessage', prompt(said))))
    case 'roots':
      return text(JSON.stringify(await ask('roots/list', {})))
    case 'open':
      return text(
        JSON.stringify(
          await ask('elicitation/create', {
            mode: 'url',
            message: said,
            url: 'https://s.example/consent',
            elicitationId: 'e-1',
          }),
        ),
      )
    case 'three':
      return text(
        JSON.stringify(
          await Promise.all([
            ask('elicitation/create', form(said)),
            ask('sampling/createMessage', prompt(said)),
            ask('roots/list', {}),
          ]),
        ),
      )
    case 'twice': {
      const first = await ask('elicitation/create', form('first'))
      const second = await ask('elicitation/create', form('second'))
      return text(JSON.stringify([first, second]))
    }
    case 'picky': {
      const answer = await ask('sampling/createMessage', prompt(said))
      if ('error' in answer) throw new RpcFailure(-32603, `refused: ${String(at(answer, 'error', 'code'))}`)
      return text(JSON.stringify(answer))
    }
    case 'easy-going':
      return text(JSON.stringify(await ask('sampling/createMessage', prompt(said))))
    case 'withdraws':
      void ask('elicitation/create', form(said), 'w')
      send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'w' } })
      return text('never mind')
    case 'impatient':
      void ask('elicitation/create', form(said))
      await new Promise((resolve) => setTimeout(resolve, 100))
      return text('could not wait')
    case 'hangs':
      return silence()
    default:
      return text('quick')
  }
}

const script: Script = {
  name: 's',
  tools: ['elicit', 'sample', 'roots', 'open', 'three', 'twice', 'picky', 'easy-going', 'quick'],
  resources: [{ uri: 'ask://it', name: 'it' }],
  call: tool,
  on: {
    'resources/read': async ({ ask, params }) => {
      const answer = await ask('elicitation/create', form('may I?'))
      return { contents: [{ uri: params['uri'], text: JSON.stringify(answer) }] }
    },
    'completion/complete': async ({ ask }) => {
      const answer = await ask('sampling/createMessage', prompt('complete'))
      return { completion: { values: [String(at(answer, 'error', 'code'))] } }
    },
  },
}

const inner = (answer: Json): unknown => {
  const said = at(answer, 'result', 'content', 0, 'text')
  if (typeof said !== 'string') throw new Error(`no text: ${JSON.stringify(answer)}`)
  return JSON.parse(said)
}

describe.each(transports)('a question of a legacy server over %s', (transport) => {
  it('of every kind is put as an input request, and the answer goes back to it, alone and aggregated', async () => {
    const { own, url } = await startLegacyBehind(transport, script)
    for (const [to, prefix] of [
      [own, ''],
      [url, 's__'],
    ] as const) {
      const asked = await callTool(to, `${prefix}elicit`, { say: 'your name?' })
      expect(questionsOf(asked).requests).toEqual({
        q1: {
          method: 'elicitation/create',
          params: { ...form('your name?'), _meta: { kept: 1 } },
        },
      })
      expect(asked.status).toBe(200)
      const done = await answerTool(to, `${prefix}elicit`, asked, { say: 'your name?' })
      expect(done).toMatchObject({ id: 2, result: { resultType: 'complete' } })
      expect(inner(done)).toMatchObject({ result: { action: 'accept', content: { who: 'yes' } } })

      const sampling = await callTool(to, `${prefix}sample`)
      expect(inner(await answerTool(to, `${prefix}sample`, sampling))).toMatchObject({
        result: { role: 'assistant', content: { text: 'yes' } },
      })
      const roots = await callTool(to, `${prefix}roots`)
      expect(inner(await answerTool(to, `${prefix}roots`, roots))).toMatchObject({
        result: { roots: [{ uri: 'file:///mine' }] },
      })
      const page = await callTool(to, `${prefix}open`)
      expect(questionsOf(page).requests['q1']).toEqual({
        method: 'elicitation/create',
        params: { mode: 'url', message: 'who?', url: 'https://s.example/consent' },
      })
    }
  })

  it('that comes with others is put with them, and the server gets each answer under its own id', async () => {
    const { own, messages } = await startLegacyBehind(transport, script)
    const asked = await callTool(own, 'three')
    expect(questionsOf(asked).keys).toEqual(['q1', 'q2', 'q3'])
    const answers = inner(await answerTool(own, 'three', asked))
    expect([at(answers, 0, 'id'), at(answers, 1, 'id'), at(answers, 2, 'id')]).toEqual([1, 2, 3])
    expect(at(answers, 1, 'result', 'role')).toBe('assistant')
    expect(at(answers, 2, 'result', 'roots')).toBeDefined()
    // one request for the server, whatever the client sent
    expect(messages('tools/call').length).toBe(1)
    expect(JSON.stringify(messages('tools/call'))).not.toMatch(
      /inputResponses|requestState|clientCapabilities/,
    )
  })

  it('follows another in a further round', async () => {
    const { own } = await startLegacyBehind(transport, script)
    const first = await callTool(own, 'twice')
    const second = await answerTool(own, 'twice', first, {}, {}, answersTo(first, 'one'))
    expect(questionsOf(second).keys).toEqual(['q2'])
    expect(questionsOf(second).state).not.toBe(questionsOf(first).state)
    const done = await answerTool(own, 'twice', second, {}, { id: 3 }, answersTo(second, 'two'))
    expect(inner(done)).toMatchObject([
      { result: { content: { who: 'one' } } },
      { result: { content: { who: 'two' } } },
    ])
  })

  it('is asked again if the answer is missing; what is answered is not', async () => {
    const { own } = await startLegacyBehind(transport, script)
    const first = await callTool(own, 'three')
    const { q1, q2, q3 } = answersTo(first)
    const second = await answerTool(own, 'three', first, {}, {}, { q1, q3, unknown: elicited({}) })
    expect(questionsOf(second).keys).toEqual(['q2'])
    const done = await answerTool(own, 'three', second, {}, { id: 3 }, { q2 })
    expect(inner(done)).toMatchObject([{ id: 1 }, { id: 2 }, { id: 3 }])
  })

  it('may be declined, and the server hears that', async () => {
    const { own } = await startLegacyBehind(transport, script)
    const asked = await callTool(own, 'elicit')
    const done = await answerTool(own, 'elicit', asked, {}, {}, { q1: { action: 'decline' } })
    expect(inner(done)).toMatchObject({ result: { action: 'decline' } })
  })

  it('is put during resources/read as well, and never where the revision does not allow it', async () => {
    const { own } = await startLegacyBehind(transport, script)
    const meta = { 'io.modelcontextprotocol/clientCapabilities': everything }
    const read = await modern(own, 'resources/read', { uri: 'ask://it' }, { meta })
    const { state } = questionsOf(read)
    const retry = { uri: 'ask://it', inputResponses: answersTo(read), requestState: state }
    const done = await modern(own, 'resources/read', retry, { meta, id: 2 })
    expect(done).toMatchObject({ result: { resultType: 'complete', ttlMs: 0, cacheScope: 'private' } })
    expect(at(done, 'result', 'contents', 0, 'text')).toContain('accept')
    const completion = { ref: { type: 'ref/prompt', name: 'p' }, argument: { name: 'a', value: '' } }
    const completed = await modern(own, 'completion/complete', completion, { meta })
    expect(at(completed, 'result', 'completion', 'values')).toEqual(['-32601'])
  })

  it('that the client does not answer is refused, and a server that cannot do without makes that known', async () => {
    const { own } = await startLegacyBehind(transport, script)
    const missing = {
      status: 400,
      error: {
        code: -32021,
        data: { requiredCapabilities: { sampling: {} }, answer: { message: 'refused: -32601' } },
      },
    }
    expect(await callTool(own, 'picky', {}, { capabilities: {} })).toMatchObject(missing)
    expect(await callTool(own, 'picky', {}, { capabilities: { roots: {} } })).toMatchObject(missing)
    // one that goes on without is none of the client's business
    const easy = await callTool(own, 'easy-going', {}, { capabilities: { elicitation: {} } })
    expect(inner(easy)).toMatchObject({ error: { code: -32601 } })
    const forms = await callTool(own, 'open', {}, { capabilities: { elicitation: {} } })
    expect(inner(forms)).toMatchObject({ error: { code: -32602 } })
    const urls = await callTool(own, 'elicit', {}, { capabilities: { elicitation: { url: {} } } })
    expect(inner(urls)).toMatchObject({ error: { code: -32602 } })
  })

  it('is recorded, for the caller that it is put to', async () => {
    const audit = createMemoryAuditRecorder()
    const { own } = await startLegacyBehind(transport, script, { audit })
    await answerTool(own, 'elicit', await callTool(own, 'elicit'))
    const entries = await until(() => {
      const about = audit
        .entries()
        .map(({ intent, outcome }) => [intent.from, intent.method, outcome?.status])
      expect(about.length).toBe(3)
      return about
    })
    expect(entries).toEqual(
      expect.arrayContaining([
        ['client', 'tools/call', 'ok'],
        ['server', 'elicitation/create', 'ok'],
        ['client', 'tools/call', 'ok'],
      ]),
    )
  })

  it('that the server withdraws is not put, or its answer is not awaited', async () => {
    const { own } = await startLegacyBehind(transport, script)
    expect(at(await callTool(own, 'withdraws'), 'result', 'content', 0, 'text')).toBe('never mind')
    const asked = await callTool(own, 'impatient')
    const done = await answerTool(own, 'impatient', asked)
    expect(at(done, 'result', 'content', 0, 'text')).toBe('could not wait')
  })

  it('is refused when its client is gone', async () => {
    const behind = await startLegacyBehind(transport, {
      ...script,
      call: (turn, name) => {
        if (name !== 'gone') return tool(turn, name)
        const progressToken = at(turn.params, '_meta', 'progressToken')
        turn.send({
          jsonrpc: '2.0',
          method: 'notifications/progress',
          params: { progressToken, progress: 1 },
        })
        return turn.silence()
      },
    })
    const { own, messages, links, processes } = behind
    const stream = await startTool(own, 'gone', {}, { meta: { progressToken: 'p' } })
    await until(() => expect(stream.messages.length).toBe(1))
    stream.abort()
    await until(() => expect(messages('notifications/cancelled').length).toBe(1))
    const [link] = links()
    const cancelled = at(messages('notifications/cancelled')[0], 'params', 'requestId')
    expect(cancelled).toBe(at(messages('tools/call')[0], 'id'))
    if (transport === 'stdio') {
      // nothing says which call a late question belongs to, so this process gets no other
      await until(() =>
        expect(
          processes()
            .find(({ id }) => id === link?.id)
            ?.running(),
        ).toBe(false),
      )
    } else {
      await until(() => expect(httpLinks(behind).find(({ id }) => id === link?.id)?.streams.size).toBe(1))
      link?.push({ jsonrpc: '2.0', id: 'late', method: 'elicitation/create', params: form('there?') })
      await until(() =>
        expect(link?.received).toContainEqual(
          expect.objectContaining({ id: 'late', error: expect.anything() }),
        ),
      )
    }
    expect(at(await callTool(own, 'quick'), 'result', 'content', 0, 'text')).toBe('quick')
    expect(links().length).toBe(transport === 'stdio' ? 2 : 1)
  })

  it('is only ever seen by the caller whose call caused it', async () => {
    const { own, url } = await startLegacyBehind(transport, script, { authenticate: believing })
    const callers = ['t/a', 't/b', 'u/a', 'u/c']
    await Promise.all(
      callers.flatMap((who) =>
        [own, url].map(async (to) => {
          const headers = bearer(who)
          const name = to === own ? 'three' : 's__three'
          const args = { say: `secret of ${who}` }
          const asked = await callTool(to, name, args, { headers })
          expect(at(questionsOf(asked).requests, 'q1', 'params', 'message')).toBe(`secret of ${who}`)
          const done = await answerTool(
            to,
            name,
            asked,
            args,
            { headers },
            answersTo(asked, `answer of ${who}`),
          )
          expect(at(inner(done), 0, 'result', 'content', 'who')).toBe(`answer of ${who}`)
        }),
      ),
    )
  })
})

describe('URL elicitation required', () => {
  const demanding: Script = {
    name: 's',
    tools: ['t'],
    call: ({ link }) => {
      const calls = link.received.filter(({ method }) => method === 'tools/call').length
      if (calls > 1) return text('opened')
      throw new RpcFailure(-32042, 'Open the page first', {
        elicitations: [
          { mode: 'url', elicitationId: 'e', url: 'https://s.example/consent', message: 'Connect' },
        ],
      })
    },
  }

  it('becomes input requests, and the request is sent again when the page was opened', async () => {
    const { own, messages } = await startLegacyBehind('HTTP', demanding)
    const asked = await callTool(own, 't', { a: 1 })
    expect(questionsOf(asked).requests).toEqual({
      q1: {
        method: 'elicitation/create',
        params: { mode: 'url', message: 'Connect', url: 'https://s.example/consent' },
      },
    })
    const declined = await answerTool(own, 't', asked, { a: 1 }, {}, { q1: { action: 'decline' } })
    expect(at(declined, 'error', 'message')).toContain('was not opened')
    const other = await answerTool(own, 't', asked, { a: 2 }, {}, { q1: { action: 'accept' } })
    expect(at(other, 'error', 'code')).toBe(-32602)
    const done = await answerTool(own, 't', asked, { a: 1 }, {}, { q1: { action: 'accept' } })
    expect(at(done, 'result', 'content', 0, 'text')).toBe('opened')
    expect(messages('tools/call').length).toBe(2)
  })

  it('is a missing capability for a client that cannot open pages', async () => {
    const { own } = await startLegacyBehind('HTTP', demanding)
    const answer = await callTool(own, 't', {}, { capabilities: { elicitation: {} } })
    expect(answer).toMatchObject({
      status: 400,
      error: { code: -32021, data: { requiredCapabilities: { elicitation: { url: {} } } } },
    })
  })
})

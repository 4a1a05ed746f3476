import { describe, expect, it } from 'vitest'
import { bearer, believing, until } from '../flow/harness.ts'
import { at, type Json } from '../flow/raw-client.ts'
import { type Script, text } from '../flow/scripted-server.ts'
import {
  answersTo,
  answerTool,
  callTool,
  questionsOf,
  startLegacyBehind,
  startTool,
  transports,
} from './legacy-behind.ts'

const question: Json = {
  message: 'sure?',
  requestedSchema: { type: 'object', properties: { who: { type: 'string' } } },
}
/** Its tools ask before they do anything; what they are given afterwards is their answer. */
const script: Script = {
  name: 's',
  tools: ['transfer', 'other'],
  call: async ({ ask }) => text(JSON.stringify(await ask('elicitation/create', question))),
}

const said = (answer: Json): string => String(at(answer, 'result', 'content', 0, 'text'))
const refused = { status: 200, error: { code: -32602, data: { retrySafe: false } } }

describe.each(transports)('the state of a call that waits, of a server over %s,', (transport) => {
  it('is good for its caller only', async () => {
    const { own } = await startLegacyBehind(transport, script, { authenticate: believing })
    const ann = { headers: bearer('t/ann') }
    const asked = await callTool(own, 'transfer', { to: 'bob' }, ann)
    for (const who of ['t/eve', 'u/ann']) {
      const stolen = await answerTool(own, 'transfer', asked, { to: 'bob' }, { headers: bearer(who) })
      expect(stolen).toMatchObject(refused)
    }
    // and none of that has used it up
    expect(said(await answerTool(own, 'transfer', asked, { to: 'bob' }, ann))).toContain('accept')
  })

  it('is good for the same request only', async () => {
    const { own } = await startLegacyBehind(transport, script)
    const asked = await callTool(own, 'transfer', { to: 'bob', amount: 1 })
    expect(await answerTool(own, 'transfer', asked, { to: 'eve', amount: 1 })).toMatchObject(refused)
    expect(await answerTool(own, 'other', asked, { to: 'bob', amount: 1 })).toMatchObject(refused)
    expect(await answerTool(own, 'transfer', asked, {})).toMatchObject(refused)
    // the order of members, a new progress token and trace are not the request
    const meta = {
      progressToken: 'new',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    }
    const done = await answerTool(own, 'transfer', asked, { amount: 1, to: 'bob' }, { meta })
    expect(said(done)).toContain('accept')
  })

  it('is refused when it was changed, cut or made up', async () => {
    const { own } = await startLegacyBehind(transport, script)
    const asked = await callTool(own, 'transfer')
    const { state } = questionsOf(asked)
    const dot = state.indexOf('.')
    const flipped = (index: number) =>
      state.slice(0, index) + (state[index] === 'A' ? 'B' : 'A') + state.slice(index + 1)
    const forged = [
      `${state}-TAMPERED`,
      flipped(dot + 1),
      flipped(state.length - 10),
      state.slice(0, -1),
      state.slice(0, dot + 1),
      state.slice(dot + 1),
      state.slice(0, dot),
      `${state}=`,
      `${state} `,
      '',
      'null',
      `.${'A'.repeat(80)}`,
    ]
    for (const requestState of forged) {
      const answer = await callTool(
        own,
        'transfer',
        {},
        {},
        { requestState, inputResponses: answersTo(asked) },
      )
      expect(answer, requestState).toMatchObject(refused)
    }
    for (const requestState of [null, 1, {}, [state]]) {
      const answer = await callTool(
        own,
        'transfer',
        {},
        {},
        { requestState, inputResponses: answersTo(asked) },
      )
      expect(answer).toMatchObject({ error: { code: -32602 } })
    }
    expect(said(await answerTool(own, 'transfer', asked))).toContain('accept')
  })

  it('is good once', async () => {
    const { own, messages } = await startLegacyBehind(transport, script)
    const asked = await callTool(own, 'transfer')
    const [one, two] = await Promise.all([
      answerTool(own, 'transfer', asked, {}, { id: 'one' }),
      answerTool(own, 'transfer', asked, {}, { id: 'two' }),
    ])
    expect([one, two].filter((answer) => 'result' in answer).length).toBe(1)
    expect([one, two].find((answer) => 'error' in answer)).toMatchObject(refused)
    expect(await answerTool(own, 'transfer', asked)).toMatchObject(refused)
    expect(messages('tools/call').length).toBe(1)
  })

  it('is refused after its time, and the server hears that nobody waits', async () => {
    let now = Date.now()
    const { own, messages } = await startLegacyBehind(transport, script, {
      now: () => now,
      limits: { parkedCallMs: 60_000, callMs: 600_000 },
    })
    const asked = await callTool(own, 'transfer')
    now += 61_000
    const late = await answerTool(own, 'transfer', asked)
    expect(late).toMatchObject(refused)
    expect(at(late, 'error', 'message')).toContain('too late')
    await until(() => expect(messages('notifications/cancelled').length).toBe(1))
  })

  it('says so if another process gave it, and that sending the request again may do it twice', async () => {
    const [here, there] = await Promise.all([
      startLegacyBehind(transport, script),
      startLegacyBehind(transport, script),
    ])
    const asked = await callTool(there.own, 'transfer')
    expect(await answerTool(here.own, 'transfer', asked)).toMatchObject({
      error: { code: -32603, data: { code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: false } },
    })
    expect(here.messages('tools/call')).toEqual([])
  })

  it('does not help against answers that are none', async () => {
    const { own } = await startLegacyBehind(transport, script)
    const asked = await callTool(own, 'transfer')
    const { state } = questionsOf(asked)
    for (const inputResponses of [null, 1, [], { q1: 12 }, { q1: null }]) {
      const answer = await callTool(own, 'transfer', {}, {}, { requestState: state, inputResponses })
      expect(answer).toMatchObject({ error: { code: -32602 } })
    }
    expect(said(await answerTool(own, 'transfer', asked))).toContain('accept')
  })

  it('is not needed for answers that nobody asked for: the server asks', async () => {
    const { own } = await startLegacyBehind(transport, script)
    const answer = await callTool(own, 'transfer', {}, {}, { inputResponses: { q1: { action: 'accept' } } })
    expect(questionsOf(answer).keys).toEqual(['q1'])
  })

  it('leads to the error of a server that ended meanwhile', async () => {
    const behind = await startLegacyBehind(transport, script)
    const asked = await callTool(behind.own, 'transfer')
    if (behind.http === undefined) for (const each of behind.processes()) each.crash()
    else await behind.http.close()
    // the gateway finds out on its own, and may not have yet
    await until(async () => {
      const answer = await answerTool(behind.own, 'transfer', asked)
      expect(answer).toMatchObject({
        error: { code: -32603, data: { code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: false } },
      })
    })
  })

  it('is limited in number, for each caller and for each server', async () => {
    const limits = { parkedCalls: 12, parkedCallsPerPrincipal: 2 }
    const { own, messages } = await startLegacyBehind(transport, script, { authenticate: believing, limits })
    const as = (who: string) => callTool(own, 'transfer', {}, { headers: bearer(who) })
    const first = await as('t/a')
    questionsOf(await as('t/a'))
    const third = await as('t/a')
    expect(third).toMatchObject({ status: 429, error: { data: { limit: 2 } } })
    questionsOf(await as('t/b'))
    expect(await as('t/c')).toMatchObject({ status: 429, error: { data: { limit: 3 } } })
    await until(() => expect(messages('notifications/cancelled').length).toBe(2))
    // an answer makes room
    await answerTool(own, 'transfer', first, {}, { headers: bearer('t/a') })
    questionsOf(await as('t/c'))
  })

  it('leads to the call whose progress and end the new request gets, and that it can cancel', async () => {
    const { own, messages } = await startLegacyBehind(transport, {
      ...script,
      call: async ({ ask, send, params, silence }) => {
        await ask('elicitation/create', question)
        const progressToken = at(params, '_meta', 'progressToken')
        send({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken, progress: 1 } })
        return silence()
      },
    })
    const asked = await callTool(own, 'transfer', {}, { meta: { progressToken: 'first' } })
    const more = { requestState: questionsOf(asked).state, inputResponses: answersTo(asked) }
    const stream = await startTool(own, 'transfer', {}, { id: 2, meta: { progressToken: 'second' } }, more)
    await until(() =>
      expect(stream.messages).toEqual([
        {
          jsonrpc: '2.0',
          method: 'notifications/progress',
          params: { progressToken: 'second', progress: 1 },
        },
      ]),
    )
    expect(messages('notifications/cancelled')).toEqual([])
    stream.abort()
    await until(() => expect(messages('notifications/cancelled').length).toBe(1))
    expect(at(messages('notifications/cancelled')[0], 'params', 'requestId')).toBe(
      at(messages('tools/call')[0], 'id'),
    )
  })
})

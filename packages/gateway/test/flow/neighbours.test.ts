import { describe, expect, it } from 'vitest'
import { bearer, believing, startGateway, until } from './harness.ts'
import { at, RawSession } from './raw-client.ts'
import { isHttpTurn, startScriptedHttp } from './scripted-http.ts'
import { text, type Script } from './scripted-server.ts'

const as = (who: string) => ({ headers: bearer(who) })

/** Answers "work", and breaks off, or holds, what it is told to. */
function server(hold: Promise<void>): Script {
  return {
    name: 's',
    tools: ['work', 'break', 'hold', 'ask'],
    call: async (turn, tool) => {
      if (tool === 'hold') await hold
      if (tool === 'ask') return { ...text('asked'), answer: await turn.ask('roots/list', {}) }
      if (tool !== 'break' || !isHttpTurn(turn)) return text(tool)
      turn.drop()
      return turn.silence()
    },
  }
}

describe('tenants with one server', () => {
  it('do not open the circuit for each other', async () => {
    const { url } = await startScriptedHttp(server(Promise.resolve()))
    const { at: path } = await startGateway({
      servers: { s: { url } },
      authenticate: believing,
      limits: { breakerFailures: 3 },
    })
    const eve = await RawSession.open(path('s'), as('evil/eve'))
    for (let call = 0; call < 3; call++)
      expect(at(await eve.call('break'), 'error', 'message')).toContain('broke off')
    expect(at(await eve.call('work'), 'error', 'message')).toContain('is left alone for a while')
    const ann = await RawSession.open(path('s'), as('good/ann'))
    expect(at(await ann.call('work'), 'result')).toEqual(text('work'))
  })

  it('leave places for each other, among the open calls and among those that wait', async () => {
    const gate = Promise.withResolvers<void>()
    const { url, messages } = await startScriptedHttp(server(gate.promise))
    const { at: path } = await startGateway({
      servers: { s: { url } },
      authenticate: believing,
      limits: { callsPerServer: 4, queuedCallsPerServer: 4 },
    })
    const eve = await RawSession.open(path('s'), as('evil/eve'))
    const held = Array.from({ length: 7 }, () => eve.call('hold'))
    const late = await Promise.race(held)
    expect(at(late, 'error', 'message')).toContain('3 calls are open and 3 wait')
    const ann = await RawSession.open(path('s'), as('good/ann'))
    expect(at(await ann.call('work'), 'result')).toEqual(text('work'))
    expect(messages('tools/call')).toHaveLength(4)
    gate.resolve()
    const answers = await Promise.all(held)
    expect(answers.filter((answer) => at(answer, 'result') !== undefined)).toHaveLength(6)
  })
})

it('a server that answers others meanwhile is not left alone because of one tool', async () => {
  const gate = Promise.withResolvers<void>()
  const { url } = await startScriptedHttp(server(gate.promise))
  const { at: path } = await startGateway({
    servers: { s: { url, timeoutMs: 300 } },
    limits: { breakerFailures: 3 },
  })
  const session = await RawSession.open(path('s'))
  const held = Array.from({ length: 6 }, () => session.call('hold'))
  let over = false
  const working = (async () => {
    // oxlint-disable-next-line no-unmodified-loop-condition -- set below, once the others have ended
    while (!over) expect(at(await session.call('work'), 'result')).toEqual(text('work'))
  })()
  for (const answer of await Promise.all(held))
    expect(at(answer, 'error', 'data', 'code')).toBe('ERR_UPSTREAM_TIMEOUT')
  over = true
  await working
  expect(at(await session.call('work'), 'result')).toEqual(text('work'))
  gate.resolve()
})

it('answers to questions get through although calls have all connections', async () => {
  const { url } = await startScriptedHttp(server(Promise.resolve()))
  const { at: path } = await startGateway({
    servers: { s: { url } },
    limits: { connectionsPerServer: 2, callsPerServer: 3, parkedCalls: 1 },
  })
  const asked: unknown[] = []
  const sessions = await Promise.all(
    Array.from({ length: 3 }, () => RawSession.open(path('s'), { capabilities: { roots: {} } })),
  )
  for (const session of sessions)
    session.onRequest = (request) => {
      asked.push(request)
      return { result: { roots: [] } }
    }
  const answers = await Promise.all(sessions.map((session) => session.call('ask')))
  await until(() => expect(asked).toHaveLength(3))
  for (const answer of answers) expect(at(answer, 'result', 'content')).toEqual(text('asked').content)
})

import { createMemoryMcpSessionStore } from '@sallyport/core/memory'
import { describe, expect, it } from 'vitest'
import { partsOf } from '../../src/gateway.ts'
import { bearer, believing, startGateway, until } from './harness.ts'
import { at, listAt, RawSession } from './raw-client.ts'
import { startScriptedHttp } from './scripted-http.ts'
import { scriptedRuntime } from './scripted-runtime.ts'
import { text } from './scripted-server.ts'

/** Two gateways over one session store, in front of the same servers. */
async function startPair(now: () => number = Date.now) {
  const server = await startScriptedHttp({
    name: 's',
    tools: ['who', 'ask'],
    call: async ({ link, ask }, tool) =>
      tool === 'ask' ? text(JSON.stringify(at(await ask('roots/list', {}), 'result'))) : text(link.id),
  })
  const sessions = createMemoryMcpSessionStore({ now })
  const runtime = scriptedRuntime({ pipe: { name: 'pipe', tools: ['t'] } })
  const options = {
    servers: { s: { url: server.url }, pipe: { command: 'pipe' } },
    authenticate: believing,
    sessions,
    runtime,
    now,
  }
  const [a, b] = [await startGateway(options), await startGateway(options)]
  return { server, sessions, runtime, a, b }
}

const ann = { headers: bearer('acme/ann') }

function continued(session: RawSession, url: string, who = ann.headers): RawSession {
  return new RawSession(
    url,
    { ...who, 'mcp-session-id': session.id, 'mcp-protocol-version': '2025-11-25' },
    {},
  )
}

describe('a session that was opened on another gateway', () => {
  it.each([true, false])(
    'goes on with the same session at the server (aggregated: %s)',
    async (aggregated) => {
      const { server, a, b } = await startPair()
      const who = aggregated ? 's__who' : 'who'
      const first = await RawSession.open(aggregated ? a.url : a.at('s'), {
        ...ann,
        capabilities: { roots: {} },
      })
      const before = at(await first.call(who), 'result', 'content', 0, 'text')
      const second = continued(first, aggregated ? b.url : b.at('s'))
      expect(at(await second.call(who), 'result', 'content', 0, 'text')).toBe(before)
      const handshakes = server.messages('initialize').length
      // both can be used in turn, questions included
      second.onRequest = () => ({ result: { roots: [{ uri: 'file:///b' }] } })
      const asked = await second.call(aggregated ? 's__ask' : 'ask')
      expect(at(asked, 'result', 'content', 0, 'text')).toBe('{"roots":[{"uri":"file:///b"}]}')
      expect(at(await first.call(who), 'result', 'content', 0, 'text')).toBe(before)
      expect(server.messages('initialize').length).toBe(handshakes)
      const shown = aggregated ? 3 : 2
      expect(listAt(await second.request('tools/list'), 'result', 'tools').length).toBe(shown)
    },
  )

  it('reaches servers that it has not reached before', async () => {
    const { a, b } = await startPair()
    const session = continued(await RawSession.open(a.url, ann), b.url)
    expect(at(await session.call('pipe__t'), 'result', 'content', 0, 'text')).toBe('pipe:t:{}')
  })

  it('is nobody else’s, and belongs to its endpoint', async () => {
    const { a, b } = await startPair()
    const session = await RawSession.open(a.url, ann)
    for (const stolen of [
      continued(session, b.url, bearer('acme/bob')),
      continued(session, b.url, bearer('evil/ann')),
      continued(session, b.at('s')),
      continued(session, a.url, bearer('acme/bob')),
    ]) {
      const stream = await stolen.start('tools/list')
      expect(stream.status).toBe(404)
      expect((await stolen.listen()).status).toBe(404)
    }
    const own = await continued(session, b.url).start('tools/list')
    expect(own.status).toBe(200)
  })

  it('outlives the gateway that opened it, with its session at the server', async () => {
    const { server, a, b } = await startPair()
    const session = await RawSession.open(a.url, ann)
    const before = at(await session.call('s__who'), 'result', 'content', 0, 'text')
    await a.gateway.close({ deadlineMs: 0 })
    expect(server.links.has(String(before))).toBe(true)
    const moved = continued(session, b.url)
    expect(at(await moved.call('s__who'), 'result', 'content', 0, 'text')).toBe(before)
    // the client's own end is an end everywhere
    await moved.end()
    await until(() => expect(server.links.has(String(before))).toBe(false))
    expect((await moved.start('tools/list')).status).toBe(404)
  })

  it('is not ended by the gateway that it left, only let go there', async () => {
    let now = Date.now()
    const { server, sessions, a, b } = await startPair(() => now)
    const session = await RawSession.open(a.url, ann)
    const before = at(await session.call('s__who'), 'result', 'content', 0, 'text')
    const moved = continued(session, b.url)
    now += 20 * 60_000
    await moved.call('s__who')
    now += 20 * 60_000
    await moved.call('s__who')
    partsOf(a.gateway).core.sessions.sweep()
    expect(partsOf(a.gateway).core.sessions.size).toBe(0)
    expect(await sessions.get(session.id)).toBeDefined()
    expect(server.links.has(String(before))).toBe(true)
    expect(at(await moved.call('s__who'), 'result', 'content', 0, 'text')).toBe(before)
    // abandoned everywhere it ends
    now += 60 * 60_000
    partsOf(b.gateway).core.sessions.sweep()
    await until(() => expect(server.links.has(String(before))).toBe(false))
    expect(await sessions.get(session.id)).toBeUndefined()
  })

  it('that ends on one gateway ends on the others, with what is open there', async () => {
    let now = Date.now()
    const { server, a, b } = await startPair(() => now)
    const session = await RawSession.open(a.url, ann)
    const before = at(await session.call('s__who'), 'result', 'content', 0, 'text')
    await session.call('pipe__t')
    const listening = await session.listen()
    const moved = continued(session, b.url)
    await moved.call('s__who')
    await moved.end()
    await until(() => expect(server.links.has(String(before))).toBe(false))
    now += 2_000
    expect((await session.start('tools/list')).status).toBe(404)
    await listening.ended
    expect(partsOf(a.gateway).core.sessions.size).toBe(0)
  })

  it('that ends elsewhere while it only listens here is noticed', async () => {
    let now = Date.now()
    const { a, b } = await startPair(() => now)
    const session = await RawSession.open(a.url, ann)
    const listening = await session.listen()
    await continued(session, b.url).end()
    partsOf(a.gateway).core.sessions.sweep()
    expect(partsOf(a.gateway).core.sessions.size).toBe(1)
    now += 60_000
    partsOf(a.gateway).core.sessions.sweep()
    await listening.ended
    expect(partsOf(a.gateway).core.sessions.size).toBe(0)
  })

  it('hears on the new gateway of what it subscribed to on the old one', async () => {
    const { server, a, b } = await startPair()
    const session = await RawSession.open(a.at('s'), ann)
    await session.request('resources/subscribe', { uri: 'test://one' })
    const moved = continued(session, b.at('s'))
    await moved.listen()
    await until(() => expect([...server.links.values()].some(({ streams }) => streams.size > 0)).toBe(true))
    const update = {
      jsonrpc: '2.0',
      method: 'notifications/resources/updated',
      params: { uri: 'test://one' },
    }
    for (const link of server.links.values()) link.push(update)
    await until(() => expect(moved.received).toEqual([update]))
  })

  it('answers on one gateway what was asked on the other, on the path of a server with HTTP', async () => {
    const { a, b } = await startPair()
    const session = await RawSession.open(a.at('s'), { ...ann, capabilities: { roots: {} } })
    const moved = continued(session, b.at('s'))
    const call = session.call('ask')
    const asked = await until(() => {
      const question = session.received.find(({ method }) => method === 'roots/list')
      if (question === undefined) throw new Error('not asked yet')
      return question
    })
    const answer = { jsonrpc: '2.0', id: asked['id'], result: { roots: [{ uri: 'file:///there' }] } }
    expect((await moved.post(answer)).status).toBe(202)
    expect(at(await call, 'result', 'content', 0, 'text')).toBe('{"roots":[{"uri":"file:///there"}]}')
  })

  it('says that nobody waits for an answer where that cannot be passed on', async () => {
    const { a, b } = await startPair()
    for (const path of [(it: typeof a) => it.url, (it: typeof a) => it.at('pipe')]) {
      const session = await RawSession.open(path(a), { ...ann, capabilities: { roots: {} } })
      const moved = continued(session, path(b))
      const answer = { jsonrpc: '2.0', id: 's/1', result: { roots: [] } }
      expect((await moved.post(answer)).status).toBe(400)
    }
  })

  it('begins anew with a server that runs as a process', async () => {
    const { a, b, runtime } = await startPair()
    const session = await RawSession.open(a.at('pipe'), { ...ann, capabilities: { sampling: {} } })
    await session.call('t')
    const processes = runtime.of('pipe').length
    const moved = continued(session, b.at('pipe'))
    expect(at(await moved.call('t'), 'result', 'content', 0, 'text')).toBe('pipe:t:{}')
    const [, ...more] = runtime.of('pipe').slice(processes - 1)
    expect(more.map(({ initialize }) => initialize)).toEqual([
      expect.objectContaining({ capabilities: { sampling: {} } }),
    ])
    expect(more[0]?.messages('notifications/initialized').length).toBe(1)
  })

  it('is told, with a type, that an answer was lost with the process that waited for it', async () => {
    const { a, b } = await startPair()
    const session = await RawSession.open(a.at('s'), { ...ann, capabilities: { roots: {} } })
    // its question is never answered; an event of its stream is what the client has seen
    const stream = await session.start('tools/call', { name: 'ask', arguments: {} })
    const [seen] = await until(() => {
      expect(stream.eventIds.length).toBeGreaterThan(0)
      return stream.eventIds
    })
    await a.gateway.close({ deadlineMs: 0 })
    await stream.ended
    const moved = continued(session, b.at('s'))
    // a stream of the same number on the other gateway is another one
    const other = await moved.start('tools/call', { name: 'ask', arguments: {} })
    await until(() => expect(other.eventIds.length).toBeGreaterThan(0))
    const resumed = await moved.listen(seen)
    await resumed.ended
    expect(resumed.status).toBe(400)
    expect(resumed.messages).toMatchObject([
      { error: { code: -32600, data: { code: 'ERR_ANSWER_LOST', retrySafe: false } } },
    ])
  })

  it('is told at a shutdown whether a call may have run', async () => {
    const { a, server } = await startPair()
    const session = await RawSession.open(a.at('s'), { ...ann, capabilities: { roots: {} } })
    const open = session.call('ask')
    await until(() => expect(server.messages('tools/call').length).toBe(1))
    const closing = a.gateway.close({ deadlineMs: 0 })
    expect(at(await open, 'error', 'data')).toEqual({ code: 'ERR_SHUTTING_DOWN', retrySafe: false })
    await closing
  })
})

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
  return { server, sessions, a, b }
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
})

import { describe, expect, it } from 'vitest'
import {
  bearer,
  believing,
  connectV1,
  connectV2,
  startFixture,
  startGateway,
  stdioFixture,
  until,
} from './harness.ts'
import { at, listAt, modern, RawSession } from './raw-client.ts'
import { scriptedRuntime } from './scripted-runtime.ts'
import { startScriptedHttp } from './scripted-http.ts'
import type { Script } from './scripted-server.ts'

const changed = 'notifications/tools/list_changed'

function changes(session: RawSession): number {
  return session.received.filter(({ method }) => method === changed).length
}

async function toolNames(session: RawSession): Promise<readonly unknown[]> {
  return listAt(await session.request('tools/list'), 'result', 'tools').map((each) => at(each, 'name'))
}

/** A server whose tools can be changed from outside. */
function changeable(name = 's'): Script & { tools: string[] } {
  const script = { name, tools: ['before'] }
  return script
}

describe('a list that changes', () => {
  it.each(['HTTP', 'stdio'] as const)(
    'over %s is announced to all sessions of the tenant on the aggregated endpoint, and then fresh',
    async (transport) => {
      const script = changeable()
      const http = await startScriptedHttp(script)
      const runtime = scriptedRuntime({ s: script })
      const { url, at: path } = await startGateway({
        servers: { s: transport === 'HTTP' ? { url: http.url } : { command: 's' } },
        runtime,
        authenticate: believing,
      })
      const open = async (who: string, to = url) => {
        const session = await RawSession.open(to, { headers: bearer(who) })
        await session.listen()
        return session
      }
      const lister = await open('acme/ann')
      const cached = await open('acme/bob')
      const idle = await open('acme/cem')
      const stranger = await open('evil/eve')
      for (const session of [lister, cached, stranger])
        expect(await toolNames(session)).toEqual(['s__before'])
      const single = await open('acme/dan', path('s'))
      await single.request('tools/list')

      script.tools.push('after')
      // the one session with the server that was asked for the list, and may be told of its change
      const asked = await until(() => {
        const links = transport === 'HTTP' ? [...http.links.values()] : runtime.of('s')
        const found = links.find(({ received }) => received.some(({ method }) => method === 'tools/list'))
        if (found === undefined || ('streams' in found && found.streams.size === 0))
          throw new Error('nobody listens')
        return found
      })
      asked.push({ jsonrpc: '2.0', method: changed })
      for (const session of [lister, cached, idle]) {
        await until(() => expect(changes(session)).toBe(1))
        expect(await toolNames(session)).toEqual(['s__before', 's__after'])
      }
      expect(changes(stranger)).toBe(0)
      expect(await toolNames(stranger)).toEqual(['s__before'])
      expect(JSON.stringify(lister.received)).not.toContain('"id"')
    },
  )

  it('many times in a moment is announced once', async () => {
    const script = changeable()
    const server = await startScriptedHttp(script)
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    await session.listen()
    await toolNames(session)
    const link = await until(() => {
      const found = [...server.links.values()].find(({ streams }) => streams.size > 0)
      if (found === undefined) throw new Error('nobody listens')
      return found
    })
    for (let burst = 0; burst < 20; burst++) link.push({ jsonrpc: '2.0', method: changed })
    link.push({ jsonrpc: '2.0', method: 'notifications/prompts/list_changed' })
    await until(() =>
      expect(session.received.map(({ method }) => method)).toContain('notifications/prompts/list_changed'),
    )
    expect(changes(session)).toBe(1)
  })

  it('while it is being fetched is fetched again by whoever asks after the news', async () => {
    const script = changeable()
    let answerFirst: () => void = () => {}
    let asked = 0
    const server = await startScriptedHttp({
      ...script,
      on: {
        'tools/list': async () => {
          asked++
          const tools = [{ name: `t${asked}`, inputSchema: { type: 'object' } }]
          if (asked === 1) await new Promise<void>((resolve) => (answerFirst = resolve))
          return { tools }
        },
      },
    })
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    await session.listen()
    const early = toolNames(session)
    await until(() => expect(asked).toBe(1))
    const link = await until(() => {
      const found = [...server.links.values()].find(({ streams }) => streams.size > 0)
      if (found === undefined) throw new Error('nobody listens')
      return found
    })
    link.push({ jsonrpc: '2.0', method: changed })
    await until(() => expect(changes(session)).toBe(1))
    expect(await toolNames(session)).toEqual(['s__t2'])
    answerFirst()
    expect(await early).toEqual(['s__t1'])
    expect(await toolNames(session)).toEqual(['s__t2'])
  })

  it('is still heard of when the session that had fetched it is gone', async () => {
    const script = changeable()
    const server = await startScriptedHttp(script)
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const lister = await RawSession.open(url)
    const cached = await RawSession.open(url)
    await cached.listen()
    expect(await toolNames(lister)).toEqual(['s__before'])
    expect(await toolNames(cached)).toEqual(['s__before'])
    expect(server.messages('tools/list').length).toBe(1)
    await lister.end()
    script.tools.push('after')
    await until(() => {
      const links = [...server.links.values()].filter(({ streams }) => streams.size > 0)
      expect(links.length).toBe(1)
      for (const link of links) link.push({ jsonrpc: '2.0', method: changed })
    })
    await until(() => expect(changes(cached)).toBeGreaterThan(0))
    expect(await toolNames(cached)).toEqual(['s__before', 's__after'])
  })

  it('does not fail for others when the session that is fetching it ends', async () => {
    let asked = 0
    const server = await startScriptedHttp({
      name: 's',
      tools: [],
      on: {
        'tools/list': (turn) =>
          ++asked === 1 ? turn.silence() : { tools: [{ name: 't', inputSchema: { type: 'object' } }] },
      },
    })
    const { url } = await startGateway({ servers: { s: { url: server.url } }, limits: { listMs: 15_000 } })
    const first = await RawSession.open(url)
    const second = await RawSession.open(url)
    const pending = first.start('tools/list')
    await until(() => expect(asked).toBe(1))
    const startedAt = performance.now()
    const list = second.request('tools/list')
    await first.end()
    expect(at(await list, 'result')).toEqual({ tools: [{ name: 's__t', inputSchema: { type: 'object' } }] })
    expect(performance.now() - startedAt).toBeLessThan(3_000)
    await (await pending).ended
  })

  it('reaches clients of both SDKs through real servers, over HTTP and stdio', async () => {
    const fixture = await startFixture()
    const { gateway, url } = await startGateway({
      servers: { fix: { url: fixture.url }, pipe: stdioFixture('dual') },
    })
    await gateway.ready()
    const heard: string[] = []
    const v1 = await connectV1(url, {
      prepare: (client) => {
        client.fallbackNotificationHandler = async ({ method }) => void heard.push(`v1 ${method}`)
      },
    })
    const v2 = await connectV2(url, 'modern', {
      listChanged: { tools: { autoRefresh: false, debounceMs: 0, onChanged: () => void heard.push('v2') } },
    })
    await v1.listTools()
    await v2.listTools()
    for (const server of ['fix', 'pipe']) {
      heard.length = 0
      const { tools: before } = await v1.listTools()
      // each retries its own change: how soon a client listens is up to its SDK
      await v1.callTool({ name: `${server}__change_list`, arguments: {} })
      await until(() => expect(heard).toContain(`v1 ${changed}`))
      expect((await v1.listTools()).tools.length).toBe(before.length + 1)
      await v2.callTool({ name: `${server}__change_list`, arguments: {} })
      await until(() => expect(heard).toContain('v2'))
      expect(
        listAt(await modern(url, 'tools/list'), 'result', 'tools').map((each) => at(each, 'name')),
      ).toContain(`${server}__added_1`)
    }
  })
})

import { createMemoryServerRegistry } from '@sallyport/core/memory'
import { describe, expect, it } from 'vitest'
import { startFixture, startGateway, stdioFixture, until } from './harness.ts'
import { at, type Json, modern, modernStart, type RawStream, RawSession } from './raw-client.ts'
import { scriptedRuntime } from './scripted-runtime.ts'
import { startScriptedHttp } from './scripted-http.ts'

const subscriptionId = 'io.modelcontextprotocol/subscriptionId'
const watched = 'test://watched-resource'

function idOf(message: Json | undefined): unknown {
  return at(message, 'params', '_meta', subscriptionId) ?? at(message, 'result', '_meta', subscriptionId)
}

function methods(stream: RawStream): unknown[] {
  return stream.messages.map(({ method }) => method)
}

describe('subscriptions/listen', () => {
  it.each(['HTTP', 'stdio'] as const)(
    'over %s is acknowledged first, under the id that the client chose, and ends with a result',
    async (transport) => {
      const fixture = await startFixture()
      const {
        gateway,
        url,
        at: path,
      } = await startGateway({
        servers: { s: transport === 'HTTP' ? { url: fixture.url } : stdioFixture('modern') },
      })
      await gateway.ready()
      const notifications = { toolsListChanged: true, resourceSubscriptions: [watched] }
      const ends = [
        { to: url, prefix: 's__', id: 'ünï' },
        { to: path('s'), prefix: '', id: 0 },
      ]
      const streams = await Promise.all(
        ends.map(({ to, id }) => modernStart(to, 'subscriptions/listen', { notifications }, { id })),
      )
      for (const stream of streams) {
        expect(stream.status).toBe(200)
        await until(() => expect(stream.messages.length).toBe(1))
        expect(stream.messages[0]).toMatchObject({
          method: 'notifications/subscriptions/acknowledged',
          params: { notifications },
        })
      }
      for (const { to, prefix } of ends) {
        const call = (tool: string) => modern(to, 'tools/call', { name: `${prefix}${tool}`, arguments: {} })
        await call('touch_resource')
        for (const stream of streams)
          await until(() => expect(methods(stream)).toContain('notifications/resources/updated'))
        await call('test_trigger_prompt_change')
        await call('test_trigger_tool_change')
        for (const stream of streams) {
          await until(() => expect(methods(stream)).toContain('notifications/tools/list_changed'))
          // not asked for
          expect(methods(stream)).not.toContain('notifications/prompts/list_changed')
        }
      }
      await gateway.close()
      for (const [index, stream] of streams.entries()) {
        await stream.ended
        const { id } = ends[index] ?? {}
        expect(stream.messages.at(-1)).toMatchObject({ id, result: { resultType: 'complete' } })
        expect(stream.messages.map(idOf)).toEqual(stream.messages.map(() => id))
      }
    },
  )

  it('keeps two streams of one client apart, and the server hears when one ends', async () => {
    const fixture = await startFixture()
    const { gateway, url } = await startGateway({ servers: { s: { url: fixture.url } } })
    await gateway.ready()
    const tools = await modernStart(
      url,
      'subscriptions/listen',
      { notifications: { toolsListChanged: true } },
      { id: 1 },
    )
    const prompts = await modernStart(
      url,
      'subscriptions/listen',
      { notifications: { promptsListChanged: true } },
      { id: 2 },
    )
    await until(() => expect([tools.messages.length, prompts.messages.length]).toEqual([1, 1]))
    await modern(url, 'tools/call', { name: 's__test_trigger_prompt_change', arguments: {} })
    await until(() => expect(prompts.messages.length).toBe(2))
    await modern(url, 'tools/call', { name: 's__test_trigger_tool_change', arguments: {} })
    await until(() => expect(tools.messages.length).toBe(2))
    expect(prompts.messages.map(idOf)).toEqual([2, 2])
    expect(tools.messages.map(idOf)).toEqual([1, 1])
    expect(prompts.messages.length).toBe(2)
  })

  it('asks each server only for resources of its own', async () => {
    const listens: Record<string, Json[]> = { one: [], two: [] }
    const script = (name: string) => ({
      name,
      on: {
        'server/discover': () => ({
          resultType: 'complete',
          supportedVersions: ['2026-07-28'],
          capabilities: { resources: { subscribe: true } },
        }),
        'resources/list': () => ({
          resultType: 'complete',
          resources: [{ uri: `${name}://1`, name: '1' }],
          ttlMs: 0,
          cacheScope: 'private',
        }),
        'subscriptions/listen': (turn: {
          params: Json
          message: Json
          send: (message: Json) => void
          silence: () => Promise<never>
        }) => {
          listens[name]?.push(turn.params)
          turn.send({
            jsonrpc: '2.0',
            method: 'notifications/subscriptions/acknowledged',
            params: {
              notifications: turn.params['notifications'],
              _meta: { [subscriptionId]: turn.message['id'] },
            },
          })
          return turn.silence()
        },
      },
    })
    const { gateway, url } = await startGateway({
      servers: { one: { command: 'one' }, two: { command: 'two' } },
      runtime: scriptedRuntime({ one: script('one'), two: script('two') }),
    })
    await gateway.ready()
    const stream = await modernStart(url, 'subscriptions/listen', {
      notifications: { resourceSubscriptions: ['one://1', 'two://1', 'two://unlisted', 'none://1'] },
    })
    await until(() => expect(stream.messages.length).toBe(1))
    expect(at(listens['one'], 0, 'notifications')).toEqual({ resourceSubscriptions: ['one://1'] })
    expect(at(listens['two'], 0, 'notifications')).toEqual({
      resourceSubscriptions: ['two://1', 'two://unlisted'],
    })
    expect(at(stream.messages[0], 'params', 'notifications')).toEqual({
      resourceSubscriptions: ['one://1', 'two://1', 'two://unlisted'],
    })
  })

  it('hears of servers that come, go and come back', async () => {
    const [one, two] = await Promise.all([startFixture(), startFixture()])
    const registry = createMemoryServerRegistry({ one: { url: one.url } })
    const { gateway, url } = await startGateway({ servers: registry })
    await gateway.ready()
    const stream = await modernStart(url, 'subscriptions/listen', {
      notifications: { toolsListChanged: true },
    })
    await until(() => expect(stream.messages.length).toBe(1))
    registry.replace({ one: { url: one.url }, two: { url: two.url } })
    await until(() =>
      expect(methods(stream)).toEqual([
        'notifications/subscriptions/acknowledged',
        'notifications/tools/list_changed',
      ]),
    )
    await until(() =>
      expect(two.received().some(({ rpcMethod }) => rpcMethod === 'subscriptions/listen')).toBe(true),
    )
    await modern(url, 'tools/call', { name: 'two__change_list', arguments: {} })
    await until(() => expect(stream.messages.length).toBe(3))
    registry.replace({ two: { url: two.url } })
    await until(() => expect(stream.messages.length).toBe(4))
    expect(stream.messages.map(idOf)).toEqual([1, 1, 1, 1])
  })

  it('takes a server up again that broke off, or was away at first, and tells that its lists may be others', async () => {
    const fixture = await startFixture()
    const port = Number(new URL(fixture.url).port)
    const other = await startFixture()
    const { gateway, url } = await startGateway({
      servers: { back: { url: fixture.url }, other: { url: other.url } },
    })
    await gateway.ready()
    const before = await modernStart(url, 'subscriptions/listen', {
      notifications: { toolsListChanged: true },
    })
    await until(() => expect(before.messages.length).toBe(1))
    await fixture.close()
    const after = await startFixture({ port })
    await until(() => expect(before.messages.length).toBe(2), 8_000)
    expect(methods(before)[1]).toBe('notifications/tools/list_changed')
    expect(after.received().some(({ rpcMethod }) => rpcMethod === 'subscriptions/listen')).toBe(true)
    await modern(url, 'tools/call', { name: 'back__change_list', arguments: {} })
    await until(() => expect(before.messages.length).toBe(3))
  })

  it('does not wait for servers that are away, and joins them later', async () => {
    const fixture = await startFixture()
    const gone = await startFixture()
    const port = Number(new URL(gone.url).port)
    await gone.close()
    const { url } = await startGateway({
      servers: { gone: { url: gone.url }, here: { url: fixture.url } },
    })
    const stream = await modernStart(url, 'subscriptions/listen', {
      notifications: { toolsListChanged: true },
    })
    await until(() => expect(stream.messages.length).toBe(1))
    const back = await startFixture({ port })
    await until(
      () => expect(back.received().some(({ rpcMethod }) => rpcMethod === 'subscriptions/listen')).toBe(true),
      8_000,
    )
    await until(() => expect(methods(stream)).toContain('notifications/tools/list_changed'))
  })

  it('with a filter that is none is refused', async () => {
    const fixture = await startFixture()
    const { url } = await startGateway({ servers: { s: { url: fixture.url } } })
    for (const notifications of [
      undefined,
      'all',
      { resourceSubscriptions: 'x' },
      { resourceSubscriptions: [1] },
    ]) {
      const answer = await modern(url, 'subscriptions/listen', { notifications })
      expect([answer.status, at(answer, 'error', 'code')]).toEqual([400, -32602])
    }
  })
})

describe('resources/subscribe of the legacy era', () => {
  const updates = (session: RawSession) =>
    session.received.filter(({ method }) => method === 'notifications/resources/updated').length

  it('on the aggregated endpoint reaches the server, and updates come back', async () => {
    const fixture = await startFixture()
    const other = await startScriptedHttp({ name: 'other', resources: [{ uri: 'other://1', name: '1' }] })
    const { gateway, url } = await startGateway({
      servers: { other: { url: other.url }, fix: { url: fixture.url } },
    })
    await gateway.ready()
    const session = await RawSession.open(url)
    await session.listen()
    expect(at(await session.request('resources/subscribe', { uri: watched }), 'result')).toEqual({})
    await until(async () => {
      await session.call('fix__touch_resource')
      expect(updates(session)).toBeGreaterThan(0)
    })
    await session.request('resources/unsubscribe', { uri: watched })
    const before = updates(session)
    await session.call('fix__touch_resource')
    await session.call('fix__echo')
    expect(updates(session)).toBe(before)
    expect(other.messages('resources/subscribe')).toEqual([])
  })

  it('is counted for a process that sessions share: the last one to leave unsubscribes', async () => {
    const script = { name: 's', tools: [], resources: [{ uri: watched, name: 'w' }] }
    const runtime = scriptedRuntime({ s: script })
    const { at: path } = await startGateway({ servers: { s: { command: 's' } }, runtime })
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => RawSession.open(path('s'))))
    if (one === undefined || two === undefined || three === undefined) throw new Error('not opened')
    for (const session of [one, two, three]) await session.listen()
    for (const session of [one, two])
      expect(at(await session.request('resources/subscribe', { uri: watched }), 'result')).toEqual({})
    const process = runtime.of('s').find((each) => each.messages('resources/subscribe').length > 0)
    if (process === undefined) throw new Error('nobody subscribed')
    expect(runtime.of('s').flatMap((each) => each.messages('resources/subscribe')).length).toBe(1)
    process.push({ jsonrpc: '2.0', method: 'notifications/resources/updated', params: { uri: watched } })
    for (const session of [one, two]) await until(() => expect(updates(session)).toBe(1))
    expect(updates(three)).toBe(0)
    await one.request('resources/unsubscribe', { uri: watched })
    expect(process.messages('resources/unsubscribe').length).toBe(0)
    process.push({ jsonrpc: '2.0', method: 'notifications/resources/updated', params: { uri: watched } })
    await until(() => expect(updates(two)).toBe(2))
    expect(updates(one)).toBe(1)
    // leaves without a word
    await two.end()
    await until(() => expect(process.messages('resources/unsubscribe').length).toBe(1))
  })

  it('is made again, with the log level, when the server has forgotten the session', async () => {
    const server = await startScriptedHttp({
      name: 's',
      tools: ['t'],
      resources: [{ uri: watched, name: 'w' }],
    })
    const { url, at: path } = await startGateway({ servers: { s: { url: server.url } } })
    for (const to of [url, path('s')]) {
      const session = await RawSession.open(to)
      await session.request('resources/subscribe', { uri: watched })
      await session.request('resources/subscribe', { uri: 'gone://again' })
      await session.request('resources/unsubscribe', { uri: 'gone://again' })
      await session.request('logging/setLevel', { level: 'warning' })
      await session.call(to === url ? 's__t' : 't')
      const seen = server.received.length
      server.forgetSessions()
      await session.call(to === url ? 's__t' : 't')
      await until(() => {
        const since = server.received
          .slice(seen)
          .map(({ message }) => [
            message?.['method'],
            at(message, 'params', 'uri') ?? at(message, 'params', 'level'),
          ])
        expect(since).toContainEqual(['resources/subscribe', watched])
        expect(since).not.toContainEqual(['resources/subscribe', 'gone://again'])
        expect(since).toContainEqual(['logging/setLevel', 'warning'])
      })
    }
  })
})

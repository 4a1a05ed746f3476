import { describe, expect, it } from 'vitest'
import { believing, bearer, until } from '../flow/harness.ts'
import { at, type Json, listAt, RawSession } from '../flow/raw-client.ts'
import { RpcFailure, text, type Turn } from '../flow/scripted-server.ts'
import { behindGateway, complete, modernScript, subscription, tool, type Transport } from './modern-server.ts'

/** A server whose subscriptions a test can see, speak on, and end. */
async function subscribing(transport: Transport, options: Parameters<typeof behindGateway>[2] = {}) {
  const open: { readonly turn: Turn; readonly end: (result: Json) => void }[] = []
  const control = { refuses: false, acknowledges: true, agrees: (uri: string) => uri !== 'test://secret' }
  const server = await behindGateway(
    transport,
    modernScript({
      tools: [tool('t')],
      call: () => complete(text('done')),
      on: {
        'subscriptions/listen': (turn) => {
          if (control.refuses) throw new RpcFailure(-32601, 'no subscriptions here')
          const asked = turn.params['notifications']
          const uris = at(asked, 'resourceSubscriptions')
          const notifications = {
            ...Object(asked),
            ...(Array.isArray(uris) && {
              resourceSubscriptions: uris.filter((uri) => control.agrees(String(uri))),
            }),
          }
          const acknowledge = () => say(turn, 'notifications/subscriptions/acknowledged', { notifications })
          if (control.acknowledges) acknowledge()
          return new Promise((resolve) => open.push({ turn, end: resolve }))
        },
      },
    }),
    options,
  )
  const id = ({ turn }: { turn: Turn }) => turn.message['id']
  return {
    ...server,
    control,
    /** Filters of the subscriptions that are open, oldest first. */
    filters: () =>
      open
        .filter((it) => !server.cancelled().includes(id(it)))
        .map(({ turn }) => turn.params['notifications']),
    all: () => open.length,
    /** On one of the subscriptions, the last unless told otherwise. */
    say: (method: string, params: Json = {}, index = -1) => {
      const one = open.at(index)
      if (one !== undefined) say(one.turn, method, params)
    },
    acknowledge: () => {
      const last = open.at(-1)
      const notifications = last?.turn.params['notifications']
      if (last !== undefined) say(last.turn, 'notifications/subscriptions/acknowledged', { notifications })
    },
    end: () =>
      open
        .at(-1)
        ?.end({ resultType: 'complete', _meta: { [subscription]: open.at(-1)?.turn.message['id'] } }),
  }
}

function say(turn: Turn, method: string, params: Json): void {
  const _meta = { [subscription]: turn.message['id'], 'com.example/k': 1 }
  turn.send({ jsonrpc: '2.0', method, params: { ...params, _meta } })
}

const lists = { toolsListChanged: true, resourcesListChanged: true }

describe.each<Transport>(['http', 'stdio'])('what a modern server over %s says unasked', (transport) => {
  it('reaches all legacy sessions that listen, over one subscription', async () => {
    const server = await subscribing(transport)
    const sessions = await Promise.all([1, 2, 3].map(() => RawSession.open(server.path)))
    expect(server.all()).toBe(0)
    const [first, second, third] = sessions
    await Promise.all([first?.listen(), second?.listen()])
    await until(() => expect(server.filters()).toEqual([lists]))
    expect(server.all()).toBe(1)
    expect(at(server.messages('subscriptions/listen')[0], 'params', '_meta')).toMatchObject({
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    })
    server.say('notifications/tools/list_changed')
    const changed = {
      jsonrpc: '2.0',
      method: 'notifications/tools/list_changed',
      params: { _meta: { 'com.example/k': 1 } },
    }
    await until(() => expect([first?.received, second?.received]).toEqual([[changed], [changed]]))
    expect(third?.received).toEqual([])
    await first?.end()
    expect(server.filters().length).toBe(1)
    await second?.end()
    await until(() => expect(server.filters()).toEqual([]))
  })

  it('is heard for the sake of lists that are kept on the aggregated endpoint', async () => {
    const server = await subscribing(transport)
    const session = await RawSession.open(server.url)
    await session.listen()
    const list = () => session.request('tools/list')
    expect(listAt(await list(), 'result', 'tools').length).toBe(1)
    await until(() => expect(server.filters()).toEqual([lists]))
    await list()
    expect(server.messages('tools/list').length).toBe(1)
    server.say('notifications/tools/list_changed')
    await until(() =>
      expect(session.received.map(({ method }) => method)).toEqual(['notifications/tools/list_changed']),
    )
    await list()
    expect(server.messages('tools/list').length).toBe(2)
  })

  it('is about the resources that clients subscribed to, as long as one of them wants it', async () => {
    const server = await subscribing(transport)
    const [one, two] = [await RawSession.open(server.path), await RawSession.open(server.url)]
    await Promise.all([one.listen(), two.listen()])
    const to = (session: RawSession, method: string, uri: string) =>
      session.request(`resources/${method}`, { uri })
    expect(at(await to(one, 'subscribe', 'test://a'), 'result')).toEqual({})
    expect(at(await to(two, 'subscribe', 'test://a'), 'result')).toEqual({})
    const before = server.all()
    expect(at(await to(two, 'subscribe', 'test://b'), 'result')).toEqual({})
    expect(server.all()).toBe(before + 1)
    server.say('notifications/resources/updated', { uri: 'test://a' })
    server.say('notifications/resources/updated', { uri: 'test://b' })
    const updates = (session: RawSession) =>
      session.received.map(({ params }) => at(params, 'uri')).filter(Boolean)
    await until(() => expect(updates(two)).toEqual(['test://a', 'test://b']))
    expect(updates(one)).toEqual(['test://a'])
    await to(two, 'unsubscribe', 'test://a')
    await until(() =>
      expect(server.filters().at(-1)).toEqual({ ...lists, resourceSubscriptions: ['test://a', 'test://b'] }),
    )
    await to(one, 'unsubscribe', 'test://a')
    await until(() => expect(server.filters()).toEqual([{ ...lists, resourceSubscriptions: ['test://b'] }]))
    await two.end()
    await until(() => expect(server.filters()).toEqual([lists]))
  })

  it('is not lost while the wishes change: the new subscription is there before the old one ends', async () => {
    const server = await subscribing(transport)
    const session = await RawSession.open(server.path)
    await session.listen()
    await session.request('resources/subscribe', { uri: 'test://a' })
    await until(() => expect(server.filters().length).toBe(1))
    server.control.acknowledges = false
    let agreed = false
    const pending = session.request('resources/subscribe', { uri: 'test://b' }).then((answer) => {
      agreed = true
      return answer
    })
    await until(() => expect(server.filters().length).toBe(2))
    server.say('notifications/resources/updated', { uri: 'test://a' }, -2)
    await until(() => expect(session.received.map(({ params }) => at(params, 'uri'))).toEqual(['test://a']))
    expect(agreed).toBe(false)
    server.acknowledge()
    expect(at(await pending, 'result')).toEqual({})
    await until(() =>
      expect(server.filters()).toEqual([{ ...lists, resourceSubscriptions: ['test://a', 'test://b'] }]),
    )
  })

  it('can be refused, for one resource or at all', async () => {
    const server = await subscribing(transport)
    const session = await RawSession.open(server.path)
    const refused = await session.request('resources/subscribe', { uri: 'test://secret' })
    expect(at(refused, 'error', 'message')).toContain('does not tell of changes of this resource')
    await until(() => expect(server.filters()).toEqual([]))
    server.control.refuses = true
    const none = await session.request('resources/subscribe', { uri: 'test://a' })
    expect(at(none, 'error', 'message')).toContain('does not take subscriptions')
    await session.listen()
    await until(() => expect(server.messages('subscriptions/listen').length).toBe(3))
    expect(at(await session.call('t'), 'result', 'content', 0, 'text')).toBe('done')
    expect(server.messages('subscriptions/listen').length).toBe(3)
  })

  it('is taken up again when the server ends it, and what may have been missed is announced', async () => {
    const server = await subscribing(transport)
    const session = await RawSession.open(server.path)
    await session.listen()
    await session.request('resources/subscribe', { uri: 'test://a' })
    await until(() => expect(server.filters().length).toBe(1))
    server.end()
    await until(() => expect(server.all()).toBeGreaterThan(2))
    await until(() =>
      expect(session.received.map(({ method }) => method)).toEqual([
        'notifications/tools/list_changed',
        'notifications/resources/list_changed',
        'notifications/resources/updated',
      ]),
    )
  })

  it('is each caller’s own', async () => {
    const server = await subscribing(transport, { authenticate: believing })
    const open = async (who: string) => {
      const session = await RawSession.open(server.path, { headers: bearer(who) })
      await session.listen()
      return session
    }
    await Promise.all(['a/x', 'a/x', 'a/y'].map(open))
    await until(() => expect(server.filters()).toEqual([lists, lists]))
  })
})

import { describe, expect, it } from 'vitest'
import { bearer, believing, until } from '../flow/harness.ts'
import { at, type Json, modernStart, type RawStream } from '../flow/raw-client.ts'
import { RpcFailure, type Script } from '../flow/scripted-server.ts'
import { httpLinks, type LegacyBehind, startLegacyBehind, transports } from './legacy-behind.ts'

const script: Script = {
  name: 's',
  tools: ['t'],
  resources: [{ uri: 'file:///a', name: 'a' }],
  capabilities: {
    tools: { listChanged: true },
    prompts: {},
    resources: { subscribe: true, listChanged: true },
  },
  on: {
    'resources/subscribe': ({ params }) => {
      if (params['uri'] === 'file:///none') throw new RpcFailure(-32602, 'no such resource')
      return {}
    },
  },
}

const SUBSCRIPTION = 'io.modelcontextprotocol/subscriptionId'
const all: Json = {
  toolsListChanged: true,
  promptsListChanged: true,
  resourcesListChanged: true,
  resourceSubscriptions: ['file:///a'],
}

function listen(url: string, id: string | number, notifications: Json, headers = {}): Promise<RawStream> {
  return modernStart(url, 'subscriptions/listen', { notifications }, { id, headers })
}

/** Says something to everybody who listens, as the server would: over HTTP on each session's stream, on stdio once. */
async function say(
  { http, processes, ...behind }: LegacyBehind,
  method: string,
  params?: Json,
): Promise<void> {
  const message = { jsonrpc: '2.0', method, ...(params !== undefined && { params }) }
  if (http === undefined) {
    for (const each of processes()) if (each.messages('initialize').length > 0) each.push(message)
    return
  }
  const open = await until(() => {
    const links = httpLinks({ http, processes, ...behind }).filter(({ streams }) => streams.size > 0)
    expect(links.length).toBeGreaterThan(0)
    return links
  })
  for (const link of open) link.push(message)
}

const changed = 'notifications/tools/list_changed'
const updated = 'notifications/resources/updated'
const heard = (stream: RawStream) =>
  stream.messages
    .slice(1)
    .map(({ method, params }) => [method, at(params, '_meta', SUBSCRIPTION), at(params, 'uri')])

describe.each(transports)('a subscription of the modern era on a legacy server over %s', (transport) => {
  it('is acknowledged with what the server can do, and hears what was asked for under its own id', async () => {
    const behind = await startLegacyBehind(transport, script)
    const stream = await listen(behind.own, 'mine', {
      ...all,
      resourceSubscriptions: ['file:///a', 'file:///none'],
    })
    await until(() => expect(stream.messages.length).toBe(1))
    expect(stream.messages[0]).toEqual({
      jsonrpc: '2.0',
      method: 'notifications/subscriptions/acknowledged',
      params: {
        notifications: {
          toolsListChanged: true,
          resourcesListChanged: true,
          resourceSubscriptions: ['file:///a'],
        },
        _meta: { [SUBSCRIPTION]: 'mine' },
      },
    })
    await say(behind, changed)
    await say(behind, 'notifications/prompts/list_changed')
    await say(behind, updated, { uri: 'file:///a', title: 'kept', _meta: { x: 1 } })
    await say(behind, updated, { uri: 'file:///a/part' })
    await say(behind, updated, { uri: 'file:///other' })
    await say(behind, 'notifications/message', { level: 'error', data: 'not here' })
    await say(behind, 'notifications/resources/list_changed')
    await until(() =>
      expect(heard(stream)).toEqual([
        [changed, 'mine', undefined],
        [updated, 'mine', 'file:///a'],
        [updated, 'mine', 'file:///a/part'],
        ['notifications/resources/list_changed', 'mine', undefined],
      ]),
    )
    expect(stream.messages[2]).toMatchObject({ params: { title: 'kept', _meta: { x: 1 } } })
  })

  it('asks for a few resources at a time, however many it names', async () => {
    let open = 0
    let most = 0
    const slow: Script = {
      ...script,
      on: {
        'resources/subscribe': async () => {
          most = Math.max(most, ++open)
          await new Promise((resolve) => setImmediate(resolve))
          open--
          return {}
        },
      },
    }
    const { own, messages } = await startLegacyBehind(transport, slow)
    const uris = Array.from({ length: 100 }, (_, index) => `file:///${index}`)
    const stream = await listen(own, 'many', { resourceSubscriptions: uris })
    await until(() => expect(stream.messages.length).toBe(1))
    expect(at(stream.messages[0], 'params', 'notifications', 'resourceSubscriptions')).toEqual(uris)
    expect(messages('resources/subscribe').length).toBe(100)
    expect(most).toBeLessThanOrEqual(8)
  })

  it('shares one session with the server with all others, and its subscriptions', async () => {
    const behind = await startLegacyBehind(transport, script, { authenticate: believing })
    const { own, messages, links } = behind
    const streams = await Promise.all(
      ['t/a', 't/b', 't/c'].map((who, index) => listen(own, index, all, bearer(who))),
    )
    await until(() => expect(streams.every(({ messages: got }) => got.length === 1)).toBe(true))
    expect(links().length).toBe(1)
    expect(messages('resources/subscribe').length).toBe(1)
    await say(behind, changed)
    await say(behind, updated, { uri: 'file:///a' })
    for (const [index, stream] of streams.entries()) {
      await until(() =>
        expect(heard(stream)).toEqual([
          [changed, index, undefined],
          [updated, index, 'file:///a'],
        ]),
      )
    }
    const more = await listen(own, 'more', { resourceSubscriptions: ['file:///b'] }, bearer('t/a'))
    await until(() => expect(more.messages.length).toBe(1))
    more.abort()
    await until(() =>
      expect(messages('resources/unsubscribe').map(({ params }) => params)).toEqual([{ uri: 'file:///b' }]),
    )
    streams[0]?.abort()
    await say(behind, changed)
    await until(() => expect(heard(streams[1] ?? more).length).toBe(3))
    expect(messages('resources/unsubscribe').length).toBe(1)
    for (const stream of streams) stream.abort()
    // the session ends with the last who listens
    await until(() => {
      if (behind.http === undefined) expect(messages('resources/unsubscribe').length).toBe(2)
      else expect(links()).toEqual([])
    })
  })

  it('asks nothing of a server that never says anything', async () => {
    const { own, messages } = await startLegacyBehind(transport, { ...script, capabilities: { tools: {} } })
    const before = messages('initialize').length
    const stream = await listen(own, 1, all)
    await until(() => expect(at(stream.messages[0], 'params', 'notifications')).toEqual({}))
    expect(messages('initialize').length).toBe(before)
  })

  it('refuses a filter that is none', async () => {
    const { own } = await startLegacyBehind(transport, script)
    const stream = await modernStart(own, 'subscriptions/listen', {
      notifications: { resourceSubscriptions: 'x' },
    })
    await stream.ended
    expect([stream.status, at(stream.messages[0], 'error', 'code')]).toEqual([400, -32602])
  })

  it('survives the server: it is opened again, and the client hears what it may have missed', async () => {
    const behind = await startLegacyBehind(transport, script)
    const { own, messages, http, processes } = behind
    const stream = await listen(own, 'x', { toolsListChanged: true, resourceSubscriptions: ['file:///a'] })
    await until(() => expect(stream.messages.length).toBe(1))
    if (http === undefined) for (const each of processes()) each.crash()
    else {
      await until(() => expect(httpLinks(behind).some(({ streams }) => streams.size > 0)).toBe(true))
      http.forgetSessions()
    }
    await until(
      () =>
        expect(heard(stream)).toEqual([
          [changed, 'x', undefined],
          [updated, 'x', 'file:///a'],
        ]),
      10_000,
    )
    await until(() => expect(messages('resources/subscribe').length).toBe(2))
    await say(behind, changed)
    await until(() => expect(heard(stream).length).toBe(3))
  })

  it('ends with a result when the gateway is shut down', async () => {
    const { own, gateway } = await startLegacyBehind(transport, script)
    const stream = await listen(own, 'x', all)
    await until(() => expect(stream.messages.length).toBe(1))
    await gateway.close({ deadlineMs: 0 })
    await stream.ended
    expect(stream.messages.at(-1)).toEqual({
      jsonrpc: '2.0',
      id: 'x',
      result: { resultType: 'complete', _meta: { [SUBSCRIPTION]: 'x' } },
    })
  })

  it('works on the aggregated endpoint', async () => {
    const behind = await startLegacyBehind(transport, script)
    const stream = await listen(behind.url, 'agg', all)
    await until(() => expect(stream.messages.length).toBe(1))
    expect(at(stream.messages[0], 'params', 'notifications', 'resourceSubscriptions')).toEqual(['file:///a'])
    await say(behind, changed)
    await say(behind, updated, { uri: 'file:///a' })
    await until(() =>
      expect(heard(stream)).toEqual([
        [changed, 'agg', undefined],
        [updated, 'agg', 'file:///a'],
      ]),
    )
  })
})

import type { GatewayInterceptor } from '@sallyport/core'
import { describe, expect, it } from 'vitest'
import { openSession } from '../http/messages.ts'
import { startFixture, startGateway, until } from './harness.ts'
import { at, modern, RawSession } from './raw-client.ts'
import { scriptedRuntime } from './scripted-runtime.ts'
import { startScriptedHttp } from './scripted-http.ts'
import { text } from './scripted-server.ts'

describe('a second message', () => {
  it('cannot be hidden between the lines of the first', async () => {
    const runtime = scriptedRuntime({ s: { name: 's', tools: ['t', 'secret'], call: () => text('done') } })
    const { at: path } = await startGateway({ servers: { s: { command: 's' } }, runtime })
    const session = await openSession(path('s'))
    const hidden = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"secret"}}'
    await session.post(`{"jsonrpc":"2.0","method":"notifications/x","params":{"a":\n${hidden}\r\n}}`)
    await session.request('tools/call', { name: 't', arguments: {} })
    const [process] = runtime.processes
    expect(process?.messages('tools/call').map((call) => at(call, 'params', 'name'))).toEqual(['t'])
    expect(process?.messages('notifications/x')).toHaveLength(1)
  })

  it('is not a request that goes without an id past everything that looks at requests', async () => {
    const runtime = scriptedRuntime({ s: { name: 's', tools: ['t'], call: () => text('done') } })
    const deny: GatewayInterceptor = {
      name: 'deny',
      request: (_context, call) => (call.method === 'tools/call' ? { refuse: true, message: 'no' } : call),
    }
    const { url, at: path } = await startGateway({
      servers: { s: { command: 's' } },
      runtime,
      interceptors: [deny],
    })
    for (const endpoint of [url, path('s')]) {
      const session = await openSession(endpoint)
      await session.post({ jsonrpc: '2.0', method: 'tools/call', params: { name: 't', arguments: {} } })
      // what was sent after it has arrived, so it would have too
      await session.post({ jsonrpc: '2.0', method: 'notifications/after' })
    }
    await until(() =>
      expect(runtime.processes.flatMap((it) => it.messages('notifications/after')).length).toBeGreaterThan(0),
    )
    expect(runtime.processes.flatMap((it) => it.messages('tools/call'))).toEqual([])
  })
})

describe('what one caller can take', () => {
  it('is not every connection to a server: listening sessions leave room for calls', async () => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'], call: () => text('done') })
    const { at: path } = await startGateway({
      servers: { s: { url: server.url } },
      limits: { connectionsPerServer: 2 },
    })
    for (let count = 0; count < 3; count++) {
      const session = await openSession(path('s'))
      await session.listen()
    }
    const other = await RawSession.open(path('s'))
    expect(at(await other.call('t'), 'result')).toBeDefined()
  })

  it('is not more sessions than the limit by opening them all at once', async () => {
    const fixture = await startFixture({ era: 'legacy' })
    const { at: path } = await startGateway({
      servers: { s: { url: fixture.url } },
      limits: { sessionsPerPrincipal: 3 },
    })
    const opened = await Promise.allSettled(Array.from({ length: 20 }, () => openSession(path('s'))))
    const ids = opened.filter(
      (it) => it.status === 'fulfilled' && it.value.id !== '' && it.value.opened.status === 200,
    )
    expect(ids.length).toBeLessThanOrEqual(3)
    expect(ids.length).toBeGreaterThan(0)
  })

  it('is not memory for a handshake of any size, nor for a subscription to any number of resources', async () => {
    const fixture = await startFixture({ era: 'dual' })
    const { url } = await startGateway({ servers: { s: { url: fixture.url } } })
    const padding = 'x'.repeat(70_000)
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'initialize',
        params: {
          protocolVersion: '2025-11-25',
          capabilities: { experimental: { padding } },
          clientInfo: {},
        },
      }),
    })
    expect(response.headers.get('mcp-session-id')).toBeNull()
    expect(at(await response.json(), 'error', 'code')).toBe(-32602)
    const resourceSubscriptions = Array.from({ length: 1_001 }, (_, index) => `test://${index}`)
    const answer = await modern(url, 'subscriptions/listen', { notifications: { resourceSubscriptions } })
    expect(at(answer, 'error', 'code')).toBe(-32602)
  })
})

describe('a port that breaks its word', () => {
  it.each([
    ['a principal without a subject', { tenant: 't', roles: [], scopes: [] }],
    ['a promise of another library that refuses', foreignPromise({ status: 401 })],
  ])('as an authenticator with %s lets nobody in', async (_what, result) => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    const authenticate = { authenticate: () => JSON.parse('null') ?? result }
    const { url } = await startGateway({ servers: { s: { url: server.url } }, authenticate })
    const answer = await fetch(url, { method: 'POST', body: '{}' })
    expect([401, 503]).toContain(answer.status)
  })

  it('as an interceptor or a source of credentials ends the call, not the process', async () => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    const broken = JSON.parse('{"request":{},"credential":null}')
    const one = await startGateway({
      servers: { s: { url: server.url } },
      interceptors: [{ name: 'broken', request: () => broken.request }],
    })
    const refused = await modern(one.at('s'), 'tools/call', { name: 't', arguments: {} })
    expect(at(refused, 'error')).toBeDefined()
    const two = await startGateway({
      servers: { s: { url: server.url } },
      credentials: { get: () => Promise.resolve(broken.credential) },
    })
    const failed = await modern(two.at('s'), 'tools/call', { name: 't', arguments: {} })
    expect(at(failed, 'error')).toBeDefined()
  })
})

/** A promise that is none of JavaScript's own. */
function foreignPromise(value: object): object {
  class ForeignPromise {
    // oxlint-disable-next-line unicorn/no-thenable -- being one is the point
    then(done: (it: object) => void): void {
      done(value)
    }
  }
  return new ForeignPromise()
}

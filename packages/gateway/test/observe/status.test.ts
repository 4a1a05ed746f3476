import { createServer, request } from 'node:http'
import { createMemoryServerRegistry } from '@sallyport/core/memory'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createGateway } from '../../src/index.ts'
import { statusHandler } from '../../src/node/index.ts'
import { portOf, startFixture, startGateway, until } from '../flow/harness.ts'
import { modernStart, RawSession } from '../flow/raw-client.ts'
import { startScriptedHttp } from '../flow/scripted-http.ts'
import { scriptedRuntime } from '../flow/scripted-runtime.ts'
import { text } from '../flow/scripted-server.ts'

describe('the status of a gateway', () => {
  it('shows servers, processes, sessions and streams as they are', async () => {
    let answer = () => {}
    const runtime = scriptedRuntime({
      pipe: {
        name: 'pipe',
        tools: ['hang'],
        call: () =>
          new Promise((resolve) => {
            answer = () => resolve(text('at last'))
          }),
      },
    })
    const http = await startScriptedHttp({ name: 'http', tools: ['t'] })
    const { gateway, url, at } = await startGateway({
      servers: {
        pipe: { command: 'pipe' },
        http: { url: `${http.url}?key=secret`, headers: { 'x-key': 'secret' } },
      },
      runtime,
    })
    expect(gateway.status()).toMatchObject({
      state: 'open',
      openCalls: 0,
      upstreams: [
        { name: 'pipe', kind: 'stdio', reachable: undefined, era: undefined, processes: [] },
        { name: 'http', kind: 'http', origin: new URL(http.url).origin, reachable: undefined },
      ],
      sessions: { total: 0, aggregated: 0, byServer: {}, streams: 0, keptBytes: 0 },
      lists: { entries: 0, characters: 0 },
    })
    const all = await RawSession.open(url)
    const one = await RawSession.open(at('pipe'))
    await one.listen()
    await all.request('tools/list')
    const hanging = one.request('tools/call', { name: 'hang' })
    const status = await until(() => {
      const now = gateway.status()
      expect(now.openCalls).toBe(1)
      return now
    })
    const [pipe, web] = status.upstreams
    const legacy = ['2025-11-25']
    expect(pipe).toMatchObject({ reachable: true, era: { modern: undefined, legacy, transport: 'stdio' } })
    expect(pipe?.processes.filter(({ openCalls }) => openCalls === 1)).toEqual([
      {
        pid: expect.any(Number),
        uptimeMs: expect.any(Number),
        use: 'shared',
        calls: expect.any(Number),
        openCalls: 1,
      },
    ])
    expect(web).toMatchObject({ reachable: true, era: { legacy, transport: 'streamable-http' } })
    expect(web?.http).toMatchObject({ running: 0, waiting: 0, streams: 1 })
    expect(status.sessions).toMatchObject({ total: 2, aggregated: 1, byServer: { pipe: 1 }, streams: 1 })
    expect(status.lists.entries).toBe(2)
    expect(JSON.stringify(status)).not.toContain('secret')
    answer()
    await hanging
    await gateway.close()
    expect(gateway.status()).toMatchObject({ state: 'closed', openCalls: 0, sessions: { total: 0 } })
  })

  it('says that a server is away, why, and that it is back', async () => {
    const first = await startScriptedHttp({ name: 's', tools: ['t'] })
    const { gateway, url } = await startGateway({ servers: { s: { url: first.url } } })
    const session = await RawSession.open(url)
    await session.call('s__t')
    await first.close()
    await session.call('s__t')
    const [away] = gateway.status().upstreams
    expect(away).toMatchObject({ reachable: false, lastError: { code: 'ERR_UPSTREAM_UNAVAILABLE' } })
    await startScriptedHttp({ name: 's', tools: ['t'] }, { port: first.port })
    await until(async () => expect(await session.call('s__t')).toHaveProperty('result'))
    expect(gateway.status().upstreams[0]).toMatchObject({ reachable: true, lastError: away?.lastError })
  })

  it('does not call a server away because there is no credential for it', async () => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    const { gateway } = await startGateway({
      servers: { s: { url: server.url } },
      credentials: { get: () => Promise.reject(new Error('the vault is closed')) },
    })
    await gateway.ready()
    const [upstream] = gateway.status().upstreams
    expect(upstream).toMatchObject({ reachable: undefined, lastError: { code: 'ERR_UPSTREAM_UNAVAILABLE' } })
    expect(JSON.stringify(upstream)).not.toContain('vault')
  })

  it('counts requests that wait for a connection', async () => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'], call: (turn) => turn.silence() })
    const { gateway, at } = await startGateway({
      servers: { s: { url: server.url } },
      // and one for a call that waits for its client
      limits: { connectionsPerServer: 1, parkedCalls: 1 },
    })
    const session = await RawSession.open(at('s'))
    for (const _ of [1, 2, 3]) void session.start('tools/call', { name: 't' }).catch(() => {})
    await until(() => expect(gateway.status().openCalls).toBe(3))
    const [upstream] = gateway.status().upstreams
    expect(upstream?.http).toEqual({ connections: 2, streams: 0, running: 2, waiting: 1 })
  })

  it('counts subscriptions apart from calls', async () => {
    const fixture = await startFixture({ era: 'modern' })
    const { gateway, url } = await startGateway({ servers: { fix: { url: fixture.url } } })
    await gateway.ready()
    const stream = await modernStart(url, 'subscriptions/listen', {
      notifications: { toolsListChanged: true },
    })
    await until(() => expect(stream.messages.length).toBe(1))
    expect(gateway.status()).toMatchObject({ openCalls: 0, subscriptions: 1 })
    stream.abort()
    await until(() => expect(gateway.status().subscriptions).toBe(0))
  })

  it('follows the registry', () => {
    const registry = createMemoryServerRegistry({})
    const gateway = createGateway({ servers: registry })
    onTestFinished(() => gateway.close())
    return until(() => {
      registry.replace({ late: { url: 'http://127.0.0.1:9/mcp' } })
      expect(gateway.status().upstreams.map(({ name }) => name)).toEqual(['late'])
    })
  })
})

describe('statusHandler', () => {
  it('answers programs on this machine, and neither proxies nor web pages', async () => {
    const gateway = createGateway({ servers: {} })
    const server = createServer(statusHandler(gateway))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(async () => {
      server.closeAllConnections()
      server.close()
      await gateway.close()
    })
    const port = portOf(server.address())
    const ask = (method: string, headers: Record<string, string>) =>
      new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
        const sent = request({ port, host: '127.0.0.1', method, headers }, (response) => {
          let body = ''
          response.on('data', (chunk: Buffer) => {
            body += chunk.toString()
          })
          response.on('end', () => resolve({ status: response.statusCode, body }))
        })
        sent.on('error', reject)
        sent.end()
      })
    const good = await ask('GET', {})
    expect(good.status).toBe(200)
    expect(JSON.parse(good.body)).toMatchObject({ state: 'open', upstreams: [] })
    expect((await ask('POST', {})).status).toBe(405)
    for (const headers of [
      { host: 'rebound.example.com' },
      { origin: 'https://example.com' },
      { 'x-forwarded-for': '10.0.0.1' },
    ])
      expect(await ask('GET', headers)).toEqual({ status: 403, body: '' })
  })
})

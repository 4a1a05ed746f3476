import { channel } from 'node:diagnostics_channel'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type GatewayEventName, gatewayEventNames, onGatewayEvent } from '../../src/observe/index.ts'
import { publishBreaker } from '../../src/observe/channels.ts'
import { believing, bearer, startGateway, until } from '../flow/harness.ts'
import { open, RawSession } from '../flow/raw-client.ts'
import { startScriptedHttp } from '../flow/scripted-http.ts'
import { scriptedRuntime } from '../flow/scripted-runtime.ts'
import { text } from '../flow/scripted-server.ts'

interface Told {
  readonly name: GatewayEventName
  readonly event: object
}

/** Everything that is told until the test ends. */
function listenToAll(): { all: Told[]; of: (name: GatewayEventName) => object[] } {
  const all: Told[] = []
  const stops = gatewayEventNames.map((name) =>
    onGatewayEvent(name, (event) => void all.push({ name, event })),
  )
  onTestFinished(() => {
    for (const stop of stops) stop()
  })
  return { all, of: (name) => all.flatMap((told) => (told.name === name ? [told.event] : [])) }
}

describe('diagnostics channels', () => {
  it('tell of calls and sessions, with no argument, result, header or token in it', async () => {
    const told = listenToAll()
    const server = await startScriptedHttp({ name: 's', tools: ['t'], call: () => text('secret result') })
    const { url } = await startGateway({
      servers: { s: { url: server.url, headers: { 'x-key': 'secret header' } } },
      authenticate: believing,
    })
    const session = await RawSession.open(url, { headers: bearer('acme/secret-token-of-ada') })
    await session.call('s__t', { password: 'secret argument' })
    await session.end()

    const call = told
      .of('sallyport:gateway:call:start')
      .find((event) => 'method' in event && event.method === 'tools/call')
    expect(call).toMatchObject({
      target: 's__t',
      requestId: 1,
      era: 'legacy',
      tenant: 'acme',
      sessionId: session.id,
      endpoint: undefined,
    })
    const ends = told.of('sallyport:gateway:call:end')
    const end = ends.find((event) => 'call' in event && event.call === call)
    expect(end).toMatchObject({ status: 'ok', server: 's', durationMs: expect.any(Number) })
    const sent = told
      .of('sallyport:upstream:call:start')
      .find((event) => 'call' in event && event.call === call)
    expect(sent).toMatchObject({ server: 's', target: 't', transport: 'http', address: '127.0.0.1' })
    const answered = told.of('sallyport:upstream:call:end')
    expect(answered.find((event) => 'call' in event && event.call === sent)).toMatchObject({ status: 'ok' })
    const [opened] = told.of('sallyport:gateway:session:opened')
    expect(opened).toMatchObject({ sessionId: session.id, tenant: 'acme', restored: false })
    expect(told.of('sallyport:gateway:session:ended')).toEqual([
      { session: opened, durationMs: expect.any(Number) },
    ])
    expect(told.of('sallyport:upstream:era')).toEqual([
      {
        server: 's',
        modern: undefined,
        legacy: ['2025-11-25'],
        transport: 'streamable-http',
        changed: false,
      },
    ])
    const subject = told.all.map(({ event }) => JSON.stringify(event)).join('\n')
    expect(subject.replaceAll('"subject":"secret-token-of-ada"', '')).not.toContain('secret')
  })

  it('end every call that began, whatever the end', async () => {
    const told = listenToAll()
    const server = await startScriptedHttp({
      name: 's',
      tools: ['drop', 'hang'],
      call: (turn, tool) => {
        if (tool === 'drop' && 'drop' in turn && typeof turn.drop === 'function') turn.drop()
        return turn.silence()
      },
    })
    const { gateway, url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    await session.call('s__drop')
    await session.call('nobody__x')
    void session.start('tools/call', { name: 's__hang' }).catch(() => {})
    await until(() => expect(server.messages('tools/call').length).toBe(2))
    await gateway.close({ deadlineMs: 0 })
    const calls = (name: GatewayEventName) =>
      told.of(name).flatMap((event) => ('call' in event ? [event.call] : []))
    expect(new Set(calls('sallyport:gateway:call:end'))).toEqual(
      new Set(told.of('sallyport:gateway:call:start')),
    )
    expect(calls('sallyport:gateway:call:end').length).toBe(told.of('sallyport:gateway:call:start').length)
    expect(calls('sallyport:upstream:call:end').length).toBe(told.of('sallyport:upstream:call:start').length)
    const codes = told.of('sallyport:gateway:call:end').map((event) => ('code' in event ? event.code : ''))
    expect(codes).toEqual(expect.arrayContaining(['ERR_UPSTREAM_UNAVAILABLE', -32602, 'ERR_SHUTTING_DOWN']))
  })

  it('tell of refusals, by the gate that refused', async () => {
    const told = listenToAll()
    const { url } = await startGateway({ servers: {}, authenticate: believing })
    const local = await startGateway({ servers: {} })
    const json = { 'content-type': 'application/json' }
    await (await open(url, { headers: json, body: '{}' })).ended
    await (await open(local.url, { headers: { ...json, via: 'a proxy' }, body: '{}' })).ended
    await (await open(url, { headers: { ...json, ...bearer('acme/ada') }, body: 'nonsense' })).ended
    const session = await RawSession.open(url, { headers: bearer('acme/ada') })
    await session.call('nobody__x')
    expect(told.of('sallyport:gateway:refusal')).toEqual([
      expect.objectContaining({ code: 'ERR_UNAUTHENTICATED', tenant: undefined, remoteAddress: '127.0.0.1' }),
      expect.objectContaining({ code: 'ERR_FORBIDDEN', tenant: undefined }),
      expect.objectContaining({ code: -32700, tenant: 'acme', subject: 'ada' }),
      expect.objectContaining({ code: -32602, tenant: 'acme', method: 'tools/call' }),
    ])
  })

  it('tell of processes and of servers that come and go', async () => {
    const told = listenToAll()
    const runtime = scriptedRuntime({ pipe: { name: 'pipe', tools: ['t'] } })
    const { gateway, url } = await startGateway({ servers: { pipe: { command: 'pipe' } }, runtime })
    const session = await RawSession.open(url)
    await session.call('pipe__t')
    for (const process of runtime.of('pipe')) process.crash(3)
    await until(() => expect(told.of('sallyport:upstream:state').at(-1)).toMatchObject({ reachable: false }))
    await session.call('pipe__t')
    await gateway.close()
    const started = told.of('sallyport:upstream:process:started')
    const exited = told.of('sallyport:upstream:process:exited')
    expect(started.every((event) => 'server' in event && event.server === 'pipe')).toBe(true)
    expect(exited).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ exitCode: 3, signal: null, expected: false }),
        expect.objectContaining({ exitCode: 0, expected: true, process: started.at(-1) }),
      ]),
    )
    const states = told.of('sallyport:upstream:state')
    expect(states.map((event) => ('reachable' in event ? event.reachable : undefined))).toEqual([
      true,
      false,
      true,
    ])
    expect(states[1]).toMatchObject({ server: 'pipe', code: 'ERR_UPSTREAM_UNAVAILABLE' })
  })

  it('have a place for circuit breakers', () => {
    publishBreaker('s', 'open', 'ERR_UPSTREAM_TIMEOUT')
    const told = listenToAll()
    publishBreaker('s', 'half-open', undefined)
    expect(told.of('sallyport:upstream:breaker')).toEqual([
      { server: 's', state: 'half-open', code: undefined },
    ])
  })

  it('are silent, and have no subscribers, once the last one has gone', () => {
    const stop = onGatewayEvent('sallyport:gateway:call:start', () => {})
    expect(channel('sallyport:gateway:call:start').hasSubscribers).toBe(true)
    stop()
    expect(gatewayEventNames.filter((name) => channel(name).hasSubscribers)).toEqual([])
  })
})

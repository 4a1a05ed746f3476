import { describe, expect, it } from 'vitest'
import type { GatewayOptions } from '../../src/index.ts'
import { bearer, believing, startGateway, until } from './harness.ts'
import { at, modern, modernStart, RawSession } from './raw-client.ts'
import { type ScriptedRuntime, scriptedRuntime } from './scripted-runtime.ts'
import { RpcFailure, type Script, text } from './scripted-server.ts'

const wait = { name: 'wait', arguments: {} }

/** Two stdio servers whose tool `wait` never answers; the other says which process it runs in. */
async function start(limits: GatewayOptions['limits'], sharing?: 'principal') {
  const script = (name: string, more: Partial<Script> = {}): Script => ({
    name,
    tools: ['t', 'wait'],
    call: ({ link, silence }, tool) => (tool === 'wait' ? silence() : text(link.id)),
    ...more,
  })
  const discover = () => ({
    resultType: 'complete',
    supportedVersions: ['2026-07-28'],
    capabilities: { tools: {} },
    ttlMs: 0,
    cacheScope: 'private',
  })
  const notLegacy = () => {
    throw new RpcFailure(-32601, 'Method not found')
  }
  const runtime = scriptedRuntime({
    s: script('s'),
    z: script('z'),
    m: script('m', { on: { 'server/discover': discover, initialize: notLegacy } }),
  })
  const more = sharing === undefined ? {} : { sharing }
  const running = await startGateway({
    servers: { s: { command: 's', ...more }, z: { command: 'z', ...more }, m: { command: 'm', ...more } },
    authenticate: believing,
    runtime,
    ...(limits !== undefined && { limits }),
  })
  await running.gateway.ready()
  const open = (who: string) =>
    RawSession.open(running.url, { headers: bearer(who), capabilities: { sampling: {} } })
  return { ...running, runtime, open }
}

const processOf = async (session: RawSession, server: string) =>
  at(await session.call(`${server}__t`), 'result', 'content', 0, 'text')

/** A call that keeps the process of its session at work. */
async function busy(session: RawSession, server: string, runtime: ScriptedRuntime): Promise<void> {
  const before = waiting(runtime, server)
  // it is still open when the test ends
  session.start('tools/call', { ...wait, name: `${server}__wait` }).catch(() => {})
  await until(() => expect(waiting(runtime, server)).toBe(before + 1))
}

function waiting(runtime: ScriptedRuntime, server: string): number {
  return runtime
    .of(server)
    .flatMap((process) => process.messages('tools/call'))
    .filter((call) => at(call, 'params', 'name') === 'wait').length
}

const refusal = (limit: string) => ({ code: 'ERR_LIMIT_EXCEEDED', limit, retrySafe: true })

describe('processes that callers have to themselves', () => {
  it('at the limit the one that was not used for the longest time has to go, and comes back when it is needed', async () => {
    const { open, runtime } = await start({ processesPerPrincipal: 2 })
    const [one, two, three] = [await open('a/ann'), await open('a/ann'), await open('a/ann')]
    const first = await processOf(one, 's')
    await processOf(two, 's')
    await processOf(three, 'z')
    const firstProcess = runtime.processes.find(({ id }) => id === first)
    await until(() => expect(firstProcess?.running()).toBe(false))
    const again = await processOf(one, 's')
    expect(again).toEqual(expect.any(String))
    expect(again).not.toBe(first)
  })

  it('is refused, for a while, when all of them are at work; others are not', async () => {
    const { open, runtime } = await start({ processesPerPrincipal: 2 })
    const [one, two, three] = [await open('a/ann'), await open('a/ann'), await open('a/ann')]
    await busy(one, 's', runtime)
    await busy(two, 'z', runtime)
    const stream = await three.start('tools/call', { ...wait, name: 's__t' })
    await stream.ended
    expect(stream.status).toBe(429)
    expect(at(stream.messages[0], 'error', 'data')).toEqual(refusal('processesPerPrincipal'))
    expect(await processOf(await open('a/bob'), 's')).toEqual(expect.any(String))
    await one.end()
    expect(await processOf(three, 's')).toEqual(expect.any(String))
  })

  it('of one tenant leave room for another', async () => {
    const { open, runtime } = await start({ processesPerTenant: 2, processesPerServer: 3 })
    const [ann, bob, eve] = [await open('a/ann'), await open('a/bob'), await open('b/eve')]
    await busy(ann, 's', runtime)
    await busy(bob, 's', runtime)
    const more = await open('a/cid')
    expect(at(await more.call('s__t'), 'error', 'data')).toEqual(refusal('processesPerTenant'))
    expect(await processOf(eve, 's')).toEqual(expect.any(String))
  })

  it('who has more gives way to who has fewer, never the other way round', async () => {
    const { open, runtime } = await start({ processesPerTenant: 3 })
    const bob = await open('a/bob')
    const bobs = await processOf(bob, 's')
    const [one, two, three] = [await open('a/ann'), await open('a/ann'), await open('a/ann')]
    await processOf(one, 's')
    const anns = await processOf(two, 's')
    // full: a third for ann costs one of her own
    await processOf(three, 's')
    expect(await processOf(bob, 's')).toBe(bobs)
    expect(await processOf(two, 's')).toBe(anns)
    // and one for somebody new costs one of hers as well
    await processOf(await open('a/new'), 's')
    expect(await processOf(bob, 's')).toBe(bobs)
    const owned = runtime.processes.filter(({ initialize }) => at(initialize, 'capabilities', 'sampling'))
    await until(() => expect(owned.filter(({ running }) => running()).length).toBe(3))
  })

  it('count where a caller shares one among its sessions, in both eras', async () => {
    const { at: path, runtime } = await start({ processesPerPrincipal: 1 }, 'principal')
    const headers = bearer('a/ann')
    const session = await RawSession.open(path('s'), { headers })
    await session.call('t')
    session.start('tools/call', wait).catch(() => {})
    await until(() => expect(waiting(runtime, 's')).toBe(1))
    const refused = await modern(path('m'), 'tools/call', { name: 't' }, { headers })
    expect(refused.status).toBe(429)
    expect(at(refused, 'error', 'data')).toEqual(refusal('processesPerPrincipal'))
    await session.end()
    expect(await modern(path('m'), 'tools/call', { name: 't' }, { headers })).toMatchObject({ result: {} })
    modernStart(path('m'), 'tools/call', wait, { headers }).catch(() => {})
    await until(() => expect(waiting(runtime, 'm')).toBe(1))
    const another = await RawSession.open(path('s'), { headers }).catch((error: unknown) => String(error))
    expect(another).toContain('processesPerPrincipal')
  })
})

import type { ServerDefinition, ServerRegistry } from '@sallyport/core'
import { createMemoryServerRegistry } from '@sallyport/core/memory'
import { describe, expect, it } from 'vitest'
import { partsOf } from '../../src/gateway.ts'
import { startFixture, startGateway, until } from './harness.ts'
import { at, listAt, modern, open, RawSession } from './raw-client.ts'
import { startScriptedHttp } from './scripted-http.ts'
import { scriptedRuntime } from './scripted-runtime.ts'
import { type Script, text } from './scripted-server.ts'

/** Its calls wait until they are let go. */
function gated(name: string) {
  const waiting: (() => void)[] = []
  const script: Script = {
    name,
    tools: ['wait'],
    call: async () => {
      await new Promise<void>((resolve) => waiting.push(resolve))
      return text(`${name} done`)
    },
  }
  return { script, waiting, release: () => waiting.splice(0).forEach((resolve) => resolve()) }
}

async function names(session: RawSession): Promise<readonly unknown[]> {
  return listAt(await session.request('tools/list'), 'result', 'tools').map((each) => at(each, 'name'))
}

describe('closing', () => {
  it('lets open calls end and takes nothing new', async () => {
    const gate = gated('s')
    const server = await startScriptedHttp(gate.script)
    const { gateway, url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    const stream = await session.listen()
    const pending = session.call('s__wait')
    await until(() => expect(gate.waiting.length).toBe(1))
    expect(gateway.health()).toEqual({ live: true, ready: true })
    const closing = gateway.close({ deadlineMs: 10_000 })
    expect(gateway.health()).toEqual({ live: true, ready: false })
    const ready = await open(new URL('/readyz', url).href, { method: 'GET' })
    expect(ready.status).toBe(503)
    await expect(RawSession.open(url)).rejects.toThrow('HTTP 503')
    const late = await session.start('tools/call', { name: 's__wait' })
    await late.ended
    expect([late.status, at(late.messages[0], 'error', 'data', 'code')]).toEqual([503, 'ERR_SHUTTING_DOWN'])
    await expect(modern(url, 'tools/list')).resolves.toMatchObject({ status: 503 })
    gate.release()
    expect(at(await pending, 'result')).toEqual(text('s done'))
    await closing
    await stream.ended
    expect(gateway.health()).toEqual({ live: false, ready: false })
    await until(() => expect(server.links.size).toBe(0))
    await gateway.close()
  })

  it('answers what is still open after the deadline, and stops the servers', async () => {
    const gate = gated('pipe')
    const runtime = scriptedRuntime({ pipe: gate.script })
    const { gateway, url } = await startGateway({ servers: { pipe: { command: 'pipe' } }, runtime })
    const session = await RawSession.open(url)
    const pending = session.call('pipe__wait')
    await until(() => expect(gate.waiting.length).toBe(1))
    await gateway.close({ deadlineMs: 50 })
    expect(at(await pending, 'error', 'data', 'code')).toBe('ERR_SHUTTING_DOWN')
    expect(runtime.processes.some((process) => process.running())).toBe(false)
  })

  it('lets a question under way be answered', async () => {
    const server = await startScriptedHttp({
      name: 's',
      tools: ['ask'],
      call: async ({ ask }) => text(JSON.stringify(at(await ask('roots/list', {}), 'result'))),
    })
    const { gateway, url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url, { capabilities: { roots: {} } })
    const pending = session.call('s__ask')
    await until(() => expect(session.received.length).toBe(1))
    const closing = gateway.close({ deadlineMs: 10_000 })
    const answer = await session.post({
      jsonrpc: '2.0',
      id: session.received[0]?.['id'],
      result: { roots: [] },
    })
    expect(answer.status).toBe(202)
    expect(at(await pending, 'result', 'content', 0, 'text')).toBe('{"roots":[]}')
    await closing
  })
})

describe('a registry that changes', () => {
  it('drops no call: what began with the old definition ends there, and the old process is stopped later', async () => {
    const gate = gated('old')
    const runtime = scriptedRuntime({
      old: gate.script,
      new: { ...gate.script, name: 'new', call: () => text('new') },
    })
    const registry = createMemoryServerRegistry({ s: { command: 'old' } })
    const { gateway, url, at: path } = await startGateway({ servers: registry, runtime })
    await gateway.ready()
    const aggregated = await RawSession.open(url)
    const single = await RawSession.open(path('s'))
    await aggregated.listen()
    const pending = [aggregated.call('s__wait'), single.call('wait')]
    await until(() => expect(gate.waiting.length).toBe(2))
    registry.replace({ s: { command: 'new' } })
    await until(() =>
      expect(aggregated.received.map(({ method }) => method)).toContain('notifications/tools/list_changed'),
    )
    expect(at(await aggregated.call('s__wait'), 'result')).toEqual(text('new'))
    expect(at(await single.call('wait'), 'result')).toEqual(text('new'))
    const old = runtime.processes.find((process) => process.messages('tools/call').length > 0)
    partsOf(gateway).core.sweepRetired()
    expect(old?.running()).toBe(true)
    gate.release()
    for (const answer of await Promise.all(pending)) expect(at(answer, 'result')).toEqual(text('old done'))
    partsOf(gateway).core.sweepRetired()
    await until(() => expect(old?.running()).toBe(false))
  })

  it('takes servers away: their path is gone, their tools are unknown, their sessions are over', async () => {
    const [one, two] = await Promise.all([
      startScriptedHttp({ name: 'one', tools: ['t'] }),
      startScriptedHttp({ name: 'two', tools: ['t'] }),
    ])
    const registry = createMemoryServerRegistry({ one: { url: one.url }, two: { url: two.url } })
    const { gateway, url, at: path } = await startGateway({ servers: registry })
    await gateway.ready()
    const session = await RawSession.open(url)
    const single = await RawSession.open(path('two'))
    expect(await names(session)).toEqual(['one__t', 'two__t'])
    registry.replace({ one: { url: one.url } })
    await until(async () => expect(await names(session)).toEqual(['one__t']))
    expect(at(await session.call('two__t'), 'error', 'code')).toBe(-32602)
    const gone = await single.start('tools/list')
    expect(gone.status).toBe(404)
    expect((await modern(path('two'), 'tools/list')).status).toBe(404)
  })

  it('that fails, or holds nonsense, changes nothing, and is asked again', async () => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    let listed: () => ReadonlyMap<string, ServerDefinition> | Promise<ReadonlyMap<string, ServerDefinition>> =
      () => new Map([['s', { url: server.url }]])
    const listeners = new Set<() => void>()
    const registry: ServerRegistry = {
      list: () => listed(),
      watch(listener) {
        listeners.add(listener)
        return () => void listeners.delete(listener)
      },
    }
    const tell = () => listeners.forEach((listener) => listener())
    const { gateway, url, log } = await startGateway({ servers: registry })
    await gateway.ready()
    const session = await RawSession.open(url)
    listed = () => Promise.reject(new Error('database away'))
    tell()
    await until(() => expect(log.join('\n')).toContain('the server registry failed'))
    expect(await names(session)).toEqual(['s__t'])
    listed = () => {
      throw new Error('thrown at once')
    }
    tell()
    await until(() => expect(log.join('\n')).toContain('thrown at once'))
    listed = () => new Map([['bad/name', { url: 'ftp://x' }]])
    tell()
    await until(() => expect(log.join('\n')).toContain('cannot be used'))
    expect(await names(session)).toEqual(['s__t'])
    await gateway.close()
    expect(listeners.size).toBe(0)
  })

  it('that answers late does not bring back what it said before', async () => {
    const [one, two] = await Promise.all([
      startScriptedHttp({ name: 'one', tools: ['t'] }),
      startScriptedHttp({ name: 'two', tools: ['t'] }),
    ])
    const answers: ((servers: ReadonlyMap<string, ServerDefinition>) => void)[] = []
    let changed: () => void = () => {}
    const registry: ServerRegistry = {
      list: () => new Promise((resolve) => answers.push(resolve)),
      watch(listener) {
        changed = listener
        return () => {}
      },
    }
    const { gateway, url } = await startGateway({ servers: registry })
    changed()
    await until(() => expect(answers.length).toBe(2))
    answers[1]?.(new Map([['two', { url: two.url }]]))
    await until(async () => expect(await names(await RawSession.open(url))).toEqual(['two__t']))
    answers[0]?.(new Map([['one', { url: one.url }]]))
    await gateway.ready()
    expect(await names(await RawSession.open(url))).toEqual(['two__t'])
  })

  it('that is away when the gateway starts is asked again until it answers', async () => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    let attempts = 0
    const registry: ServerRegistry = {
      list: () =>
        ++attempts < 2 ? Promise.reject(new Error('not yet')) : new Map([['s', { url: server.url }]]),
      watch: () => () => {},
    }
    const { url } = await startGateway({ servers: registry })
    const session = await RawSession.open(url)
    await until(async () => expect(await names(session)).toEqual(['s__t']), 8_000)
  })
})

describe('ready', () => {
  it('resolves although a server is away', async () => {
    const fixture = await startFixture()
    const { gateway } = await startGateway({
      servers: { good: { url: fixture.url }, bad: { url: 'http://127.0.0.1:1/mcp' } },
    })
    await gateway.ready()
    expect(gateway.health()).toEqual({ live: true, ready: true })
  })
})

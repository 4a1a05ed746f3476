import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ServerDefinition } from '@sallyport/core'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { type Caller, type Era, openCaller } from './caller.ts'
import { childrenOf, type GatewayProcess, isAlive, startGateway } from './gateway-process.ts'
import { type Neighbours, startNeighbours, startTraffic, type Traffic } from './neighbours.ts'
import { type FaultyHttp, type FaultyHttpOptions, startFaultyHttp } from './servers/http-server.ts'

const ERAS: readonly Era[] = ['legacy', 'modern']
const program = fileURLToPath(new URL('servers/stdio-server.ts', import.meta.url))
const limits = {
  breakerFailures: 3,
  breakerMs: 400,
  longestBreakerMs: 800,
  restartMs: 200,
  longestRestartMs: 800,
  callsPerServer: 4,
  queuedCallsPerServer: 4,
  queueMs: 500,
  // shorter than the start of the slow servers, longer than that of the others
  probeMs: 2_000,
}
const SLOW_START_MS = 3_500
const timeoutMs = 1_500

const folder = mkdtempSync(join(tmpdir(), 'sallyport-recovery-'))
const file = (name: string) => join(folder, name)
let neighbours: Neighbours
let gateway: GatewayProcess
let traffic: Traffic
/** Servers over HTTP, by name; tests close them and start others in their place. */
const servers = new Map<string, FaultyHttp>()
/** What every server of a name does beyond what a good one does; a test may set and unset it. */
const bad = new Map<string, FaultyHttpOptions['first']>()

function options(name: string, era: Era): FaultyHttpOptions {
  return { era, first: (...request) => bad.get(name)?.(...request) === true }
}

function nameOf(what: string, era: Era): string {
  return `${what}-${era}`
}

const HTTP_NAMES = ['restarts', 'moves', 'sleeps', 'jams', 'drops']

beforeAll(async () => {
  neighbours = await startNeighbours()
  const definitions: Record<string, ServerDefinition> = { ...neighbours.servers }
  for (const era of ERAS) {
    for (const what of HTTP_NAMES) {
      const name = nameOf(what, era)
      const server = await startFaultyHttp(options(name, era))
      servers.set(name, server)
      definitions[name] = { url: server.url, timeoutMs }
    }
    const moving = nameOf('moves', era)
    definitions[moving] = { url: `http://${moving}.test:${servers.get(moving)?.port}/mcp`, timeoutMs }
    const child = (name: string, ...more: string[]) => {
      const args = [program, era, '--log', file(nameOf(name, era)), ...more]
      definitions[nameOf(name, era)] = { command: process.execPath, args, timeoutMs: 10_000 }
    }
    child('loops', '--good-if', file(nameOf('healed', era)))
    child('slow', '--start-ms', String(SLOW_START_MS))
    child('killed')
  }
  const names = Object.fromEntries(ERAS.map((era) => [`${nameOf('moves', era)}.test`, '127.0.0.1']))
  gateway = await startGateway(definitions, limits, names)
  traffic = await startTraffic(gateway)
})
afterAll(async () => {
  await traffic.stop()
  await gateway.stop()
  await neighbours.stop()
  for (const server of servers.values()) await server.close()
  rmSync(folder, { recursive: true, force: true })
})

async function isFine(caller: Caller): Promise<void> {
  const works = async () => expect((await caller.call('fine')).text).toBe('did fine')
  await vi.waitFor(works, { timeout: 15_000, interval: 50 })
}

async function neighboursGoOn(): Promise<void> {
  const before = traffic.fewest
  await vi.waitFor(() => expect(traffic.fewest).toBeGreaterThan(before + 2), { timeout: 10_000 })
  expect(traffic.wrong).toEqual([])
}

function starts(name: string): number {
  return existsSync(file(name)) ? readFileSync(file(name), 'utf8').trim().split('\n').length : 0
}

async function replace(name: string, era: Era, more: Partial<FaultyHttpOptions> = {}): Promise<FaultyHttp> {
  const old = servers.get(name)
  await old?.close()
  const next = await startFaultyHttp({ ...options(name, era), port: old?.port ?? 0, ...more })
  servers.set(name, next)
  return next
}

describe.each(ERAS)('without its client connecting anew, a server of the %s era works again that', (era) => {
  it('was restarted', async () => {
    const name = nameOf('restarts', era)
    const caller = await openCaller(gateway.at(name), era)
    await isFine(caller)
    const next = await replace(name, era)
    await isFine(caller)
    expect(next.count('fine')).toBeGreaterThan(0)
    await neighboursGoOn()
  })

  it('was away for a while', async () => {
    const name = nameOf('restarts', era)
    const caller = await openCaller(gateway.at(name), era)
    await isFine(caller)
    await servers.get(name)?.close()
    const seen = await caller.call('fine')
    expect(seen).toMatchObject({ code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: true })
    await neighboursGoOn()
    await replace(name, era)
    await isFine(caller)
  })

  it('has moved to another address', async () => {
    const name = nameOf('moves', era)
    const caller = await openCaller(gateway.at(name), era)
    await isFine(caller)
    const old = servers.get(name)
    const next = await replace(name, era, { host: '127.0.0.2' })
    gateway.moveName(`${name}.test`, '127.0.0.2')
    await isFine(caller)
    expect(next.port).toBe(old?.port)
    expect(next.count('fine')).toBeGreaterThan(0)
    await neighboursGoOn()
  })

  it('failed so often that it was left alone', async () => {
    const name = nameOf('sleeps', era)
    const server = servers.get(name)
    const caller = await openCaller(gateway.at(name), era)
    await isFine(caller)
    bad.set(name, (_, response, { method }) => {
      if (method !== 'tools/call') return false
      response.writeHead(500).end()
      return true
    })
    for (let count = 0; count < limits.breakerFailures; count++)
      expect(await caller.call('broken')).toMatchObject({ code: 'ERR_UPSTREAM_PROTOCOL' })
    const refused = await caller.call('broken')
    expect(refused).toMatchObject({ code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: true })
    expect(refused.retryAfterMs).toBeGreaterThan(0)
    expect(refused.message).toContain('keeps failing: answered HTTP 500')
    // it was not bothered
    expect(server?.count('broken')).toBe(limits.breakerFailures)
    await neighboursGoOn()
    bad.delete(name)
    await isFine(caller)
  })

  it('did not answer any of the calls that it was given at once', async () => {
    const name = nameOf('jams', era)
    const caller = await openCaller(gateway.at(name), era)
    await isFine(caller)
    bad.set(name, (_request, _response, { method }) => method === 'tools/call')
    // one tenant may take three quarters of a server
    const places = (limits.callsPerServer * 3) / 4
    const before = traffic.fewest
    const outcomes = await Promise.all(Array.from({ length: 12 }, () => caller.call('stuck')))
    expect(traffic.fewest).toBeGreaterThan(before)
    expect(servers.get(name)?.count('stuck')).toBe(places)
    const codes = outcomes.map(({ code, retrySafe }) => `${code} ${retrySafe}`)
    const count = (text: string) => codes.filter((code) => code === text).length
    // those that it got may have run; of those that waited, and those for whom there was no room, it never heard
    expect(count('ERR_UPSTREAM_TIMEOUT false')).toBe(places)
    expect(count('ERR_UPSTREAM_UNAVAILABLE true')).toBe(12 - places)
    bad.delete(name)
    await isFine(caller)
    await neighboursGoOn()
  })

  it('closes connections whenever it likes', async () => {
    const name = nameOf('drops', era)
    const caller = await openCaller(gateway.at(name), era)
    let requests = 0
    bad.set(name, (request, response) => {
      // between 0 and 4 ms after the answer, which is when the gateway may be about to use the connection again
      const { socket } = request
      const afterMs = createHash('sha256').update(String(requests++)).digest()[0] ?? 0
      response.once('finish', () => setTimeout(() => socket.destroy(), afterMs % 5))
      return false
    })
    const outcomes = []
    for (let count = 0; count < 100; count++) outcomes.push(await caller.call('fine'))
    const answered = outcomes.filter(({ text }) => text === 'did fine')
    const broken = outcomes.filter(({ code }) => code === 'ERR_UPSTREAM_UNAVAILABLE')
    console.log(
      `connections closed at random, ${era}: ${answered.length} answered, ${broken.length} broken off`,
    )
    expect(answered.length + broken.length).toBe(100)
    expect(answered.length).toBeGreaterThan(50)
    bad.delete(name)
    await isFine(caller)
    await neighboursGoOn()
  })

  it('kept ending right after its start', async () => {
    const name = nameOf('loops', era)
    // the endpoint of all servers has sessions even while this one is away
    const caller =
      era === 'legacy' ? await openCaller(gateway.url, era) : await openCaller(gateway.at(name), era)
    const tool = (plain: string) => (era === 'legacy' ? `${name}__${plain}` : plain)
    const pause = async () => {
      const refused = await caller.call(tool('fine'))
      expect(refused).toMatchObject({ code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: true })
      expect(refused.retryAfterMs).toBeGreaterThan(0)
    }
    await vi.waitFor(pause, { timeout: 10_000, interval: 50 })
    const before = starts(name)
    // whoever calls now is told to wait; no process is started for them
    for (let count = 0; count < 20; count++)
      expect((await caller.call(tool('fine'))).code).toBe('ERR_UPSTREAM_UNAVAILABLE')
    expect(starts(name) - before).toBeLessThan(10)
    await neighboursGoOn()
    writeFileSync(file(nameOf('healed', era)), '')
    const works = async () => expect((await caller.call(tool('fine'))).text).toBe('did fine')
    await vi.waitFor(works, { timeout: 15_000, interval: 100 })
  })

  it('takes longer to start than it takes to give up on a question', async () => {
    const name = nameOf('slow', era)
    const open = () => openCaller(gateway.at(name), era)
    // a session cannot be opened before the server is there
    const caller = await vi.waitFor(open, { timeout: 20_000, interval: 100 })
    await isFine(caller)
    // one that was asked in one way, one that was asked in the other; none of them was stopped half way and started again
    expect(starts(name)).toBeLessThanOrEqual(2)
  })

  it('was killed, between calls and during one', async () => {
    const name = nameOf('killed', era)
    const caller = await openCaller(gateway.at(name), era)
    for (let round = 0; round < 3; round++) {
      const pid = Number((await caller.call('pid')).text)
      const during = caller.call('never answers')
      if (round > 0) {
        await caller.call('fine')
        process.kill(pid, 'SIGKILL')
        expect(await during).toMatchObject({ code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: false })
      } else void during.catch(() => {})
      if (round === 0) process.kill(pid, 'SIGKILL')
      await vi.waitFor(() => expect(isAlive(pid)).toBe(false), { timeout: 5_000 })
      await isFine(caller)
    }
    await neighboursGoOn()
  })
})

it('a server that says in every answer that the session is gone is given up, and may come back', async () => {
  const name = nameOf('restarts', 'legacy')
  const caller = await openCaller(gateway.at(name), 'legacy')
  await isFine(caller)
  bad.set(name, (request, response) => {
    if (request.headers['mcp-session-id'] === undefined) return false
    response.writeHead(404).end()
    return true
  })
  expect(await caller.call('fine')).toMatchObject({ code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: true })
  bad.delete(name)
  await isFine(caller)
  await neighboursGoOn()
})

it('a gateway that is killed leaves no process behind, whatever its servers are doing', async () => {
  const child = (era: Era) => ({ command: process.execPath, args: [program, era] })
  const own = await startGateway({ legacy: child('legacy'), modern: child('modern') })
  onTestFinished(() => own.kill())
  for (const era of ERAS) {
    const caller = await openCaller(own.at(era), era)
    await isFine(caller)
    void caller.call('stops reading').catch(() => {})
  }
  const children = childrenOf(own.pid)
  expect(children.length).toBeGreaterThanOrEqual(2)
  await own.kill()
  await vi.waitFor(() => expect(children.filter(isAlive)).toEqual([]), { timeout: 10_000 })
})

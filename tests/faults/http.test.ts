import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Caller, type Era, openCaller } from './caller.ts'
import { type GatewayProcess, startGateway } from './gateway-process.ts'
import { HTTP_FAULTS } from './http-faults.ts'
import { type Neighbours, startNeighbours, startTraffic, type Traffic } from './neighbours.ts'
import { type FaultyHttp, startFaultyHttp } from './servers/http-server.ts'

const ERAS: readonly Era[] = ['legacy', 'modern']
const limits = { answerBytes: 8 * 1024 * 1024, breakerMs: 100, longestBreakerMs: 500 }
const timeoutMs = 700

let neighbours: Neighbours
let gateway: GatewayProcess
let traffic: Traffic
const faulty = new Map<Era, FaultyHttp>()
const callers = new Map<Era, Caller>()

beforeAll(async () => {
  neighbours = await startNeighbours()
  const tools = Object.fromEntries(HTTP_FAULTS.map(({ that, act }) => [that, act]))
  for (const era of ERAS) faulty.set(era, await startFaultyHttp({ era, tools }))
  const servers = Object.fromEntries([...faulty].map(([era, { url }]) => [era, { url, timeoutMs }]))
  gateway = await startGateway({ ...neighbours.servers, ...servers }, limits)
  for (const era of ERAS) callers.set(era, await openCaller(gateway.at(era), era))
  traffic = await startTraffic(gateway)
})
afterAll(async () => {
  await traffic.stop()
  await gateway.stop()
  await neighbours.stop()
  for (const server of faulty.values()) await server.close()
})

describe.each(ERAS)('over HTTP, %s era, a server that', (era) => {
  it.each(HTTP_FAULTS)('$that', async ({ that, outcome, lasts, patience }) => {
    const caller = callers.get(era)
    await isFine(caller)
    const before = traffic.fewest
    const answer = await caller?.call(that, {}, { onNotice: (count) => count === patience })
    const { text, ...rest } = outcome
    expect(answer).toMatchObject({ ...rest, ...(text !== undefined && { text: text.replace('%', that) }) })
    expect(faulty.get(era)?.count(that)).toBe(1)
    if (lasts === true) expect(traffic.fewest).toBeGreaterThan(before)

    await isFine(caller)
    // nobody goes on with what nobody waits for
    await vi.waitFor(() => expect(faulty.get(era)?.open).toBe(0), { timeout: 5_000 })
    await vi.waitFor(() => expect(traffic.fewest).toBeGreaterThan(before + 2), { timeout: 10_000 })
    expect(traffic.wrong).toEqual([])
  })
})

/** It works again, and nobody had to connect anew. */
async function isFine(caller: Caller | undefined): Promise<void> {
  const works = async () => expect((await caller?.call('fine'))?.text).toBe('did fine')
  await vi.waitFor(works, { timeout: 10_000, interval: 50 })
}

describe('after all of that', () => {
  it('the gateway has not grown', () => {
    const { nowMb, peakMb } = gateway.memory()
    console.log(`resident after all faults over HTTP: ${nowMb} MB, at most ${peakMb} MB`)
    expect(peakMb).toBeLessThan(450)
  })

  it('the aggregated endpoint still has the tools of all', async () => {
    const caller = await openCaller(gateway.url, 'legacy')
    const list = JSON.stringify(await caller.request('tools/list'))
    for (const name of ['web__echo', 'local__echo', 'legacy__fine']) expect(list).toContain(`"${name}"`)
  })

  it('the callers of the neighbours never got anything but their answers', () => {
    expect(traffic.wrong).toEqual([])
    console.log(`right answers for the caller with the fewest: ${traffic.fewest}`)
  })
})

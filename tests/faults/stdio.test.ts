import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Caller, type Era, openCaller } from './caller.ts'
import { type GatewayProcess, startGateway } from './gateway-process.ts'
import { type Neighbours, startNeighbours, startTraffic, type Traffic } from './neighbours.ts'
import { STDIO_FAULTS } from './stdio-faults.ts'

const ERAS: readonly Era[] = ['legacy', 'modern']
const program = fileURLToPath(new URL('servers/stdio-server.ts', import.meta.url))
const limits = {
  answerBytes: 8 * 1024 * 1024,
  breakerFailures: 2,
  breakerMs: 100,
  longestBreakerMs: 500,
  restartMs: 50,
  longestRestartMs: 500,
}
const timeoutMs = 1_000

let neighbours: Neighbours
let gateway: GatewayProcess
let traffic: Traffic
const callers = new Map<Era, Caller>()

beforeAll(async () => {
  neighbours = await startNeighbours()
  const server = (era: Era) => ({ command: process.execPath, args: [program, era], timeoutMs })
  const servers = { ...neighbours.servers, legacy: server('legacy'), modern: server('modern') }
  gateway = await startGateway(servers, limits)
  for (const era of ERAS) callers.set(era, await openCaller(gateway.at(era), era))
  traffic = await startTraffic(gateway)
})
afterAll(async () => {
  await traffic.stop()
  await gateway.stop()
  await neighbours.stop()
})

describe.each(ERAS)('over stdio, %s era, a server that', (era) => {
  it.each(STDIO_FAULTS)('$that', async ({ that, outcome, lasts }) => {
    const caller = callers.get(era)
    await isFine(caller)
    const before = traffic.fewest
    const answer = await caller?.call(that)
    const { text, ...rest } = outcome
    expect(answer).toMatchObject({ ...rest, ...(text !== undefined && { text: text.replace('%', that) }) })
    if (lasts === true) expect(traffic.fewest).toBeGreaterThan(before)

    await isFine(caller)
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
    console.log(`resident after all faults over stdio: ${nowMb} MB, at most ${peakMb} MB`)
    expect(peakMb).toBeLessThan(450)
  })

  it('the callers of the neighbours never got anything but their answers', () => {
    expect(traffic.wrong).toEqual([])
    console.log(`right answers for the caller with the fewest: ${traffic.fewest}`)
  })
})

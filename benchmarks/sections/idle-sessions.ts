import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { delay } from '../load/closed-loop.ts'
import { createIdleSessions } from '../load/idle-sessions.ts'
import type { Bench } from '../measure/bench.ts'
import { collectGarbage } from '../measure/collect.ts'
import { residentBytes } from '../measure/process-usage.ts'
import type { RunningPath } from '../paths/path.ts'
import { contender } from './contenders.ts'
import type { Section } from './section.ts'

const fewSessions = 100
const manySessions = 10_000
/** Each is another caller: one alone may not have more than `sessionsPerPrincipal`. */
const callers = 16
const settleMs = 1_000
const path = contender('sallyport', 'http')
const at = 'per idle legacy session (initialized, then left alone), from 100 to 10,000 of them'

interface Memory {
  residentBytes: number
  /** After a collection; undefined if there was none. */
  heapBytes: number | undefined
}

/** What a session costs that nobody uses. As is, and in a second process that is told to collect its garbage first. */
export const idleSessions: Section = {
  rows: [
    { id: 'gateway.sessions', what: `resident memory ${at}`, unit: 'kB', bar: { atMost: 12 } },
    { id: 'gateway.sessions.collected', what: `the same after a garbage collection, ${at}`, unit: 'kB' },
    { id: 'gateway.sessions.heap', what: `live heap ${at}`, unit: 'kB' },
    { id: 'gateway.sessions.rss', what: 'resident memory with 10,000 idle legacy sessions', unit: 'MB' },
  ],
  async run({ bench }) {
    const asIs: number[] = []
    const collected: number[] = []
    const heap: number[] = []
    const whole: number[] = []
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'))
    try {
      for (let round = 0; round < bench.rounds; round++) {
        bench.report(`${manySessions} idle sessions: round ${round + 1} of ${bench.rounds}`)
        const plain = await growth(bench, undefined)
        asIs.push((plain.many.residentBytes - plain.few.residentBytes) / added)
        whole.push(plain.many.residentBytes / 1e6)
        const clean = await growth(bench, join(folder, `${round}.json`))
        collected.push((clean.many.residentBytes - clean.few.residentBytes) / added)
        heap.push(((clean.many.heapBytes ?? Number.NaN) - (clean.few.heapBytes ?? Number.NaN)) / added)
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
    return {
      'gateway.sessions': asIs,
      'gateway.sessions.collected': collected,
      'gateway.sessions.heap': heap,
      'gateway.sessions.rss': whole,
    }
  },
}

/** To kilobytes per session. */
const added = (manySessions - fewSessions) * 1_000

async function growth(
  bench: Bench,
  collectedFile: string | undefined,
): Promise<{ few: Memory; many: Memory }> {
  const running = await bench.freshPath(path, collectedFile === undefined ? undefined : { collectedFile })
  const { url, tokens } = running
  const sessions = await createIdleSessions({ url, ...(tokens && { tokens }), connections: callers })
  try {
    await sessions.growTo(fewSessions)
    await sessions.use(1)
    const few = await memoryOf(running, collectedFile)
    await sessions.growTo(manySessions)
    const many = await memoryOf(running, collectedFile)
    // They are of no use if they are not there any more.
    await sessions.use(100)
    return { few, many }
  } finally {
    sessions.close()
    await running.stop()
  }
}

async function memoryOf({ processId }: RunningPath, collectedFile: string | undefined): Promise<Memory> {
  await delay(settleMs)
  const collected = collectedFile === undefined ? undefined : await collectGarbage(processId, collectedFile)
  const resident = residentBytes(processId)
  if (resident === undefined) throw new Error('resident memory can only be read where there is /proc')
  return { residentBytes: resident, heapBytes: collected?.heapBytes }
}

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Point, slopeOf } from '../load/trend.ts'
import type { Bench } from '../measure/bench.ts'
import { collectGarbage } from '../measure/collect.ts'
import { residentBytes } from '../measure/process-usage.ts'
import type { RunningPath } from '../paths/path.ts'
import { contender } from './contenders.ts'
import type { Section } from './section.ts'

const warmupCalls = 50_000
const measuredCalls = 200_000
const connections = 16
const path = contender('sallyport', 'http')

/** Whether memory keeps growing with the number of calls. No rounds: it is one long run, and its slope is what counts. */
export const manyCalls: Section = {
  rows: [
    {
      id: 'gateway.calls-rss',
      what: 'growth of resident memory over 200,000 calls, after 50,000 others (slope × calls)',
      unit: 'MB',
      bar: { atMost: 5 },
    },
    { id: 'gateway.calls-rss.heap', what: 'growth of the live heap over the same calls', unit: 'MB' },
    { id: 'gateway.calls-rss.end', what: 'resident memory after them', unit: 'MB' },
  ],
  async run({ bench, print }) {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'))
    const collectedFile = join(folder, 'heap.json')
    const running = await bench.freshPath(path, { collectedFile })
    try {
      await callsFrom(bench, running, 0, warmupCalls)
      const before = await collectGarbage(running.processId, collectedFile)
      const points = await callsFrom(bench, running, warmupCalls, warmupCalls + measuredCalls)
      const last = points.at(-1)?.y ?? Number.NaN
      const after = await collectGarbage(running.processId, collectedFile)
      const bytesPerCall = slopeOf(points)
      const readings = points.map(({ y }) => (y / 1e6).toFixed(0)).join(' ')
      print(`\nresident memory: ${readings} MB; ${bytesPerCall.toFixed(1)} bytes per call`)
      return {
        'gateway.calls-rss': [(bytesPerCall * measuredCalls) / 1e6],
        'gateway.calls-rss.heap': [(after.heapBytes - before.heapBytes) / 1e6],
        'gateway.calls-rss.end': [last / 1e6],
      }
    } finally {
      await running.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  },
}

/** Calls until there were so many; returns resident memory by calls. */
async function callsFrom(bench: Bench, running: RunningPath, from: number, to: number): Promise<Point[]> {
  // A point a second, however long other cells are: a slope needs many.
  const lengths = 1 / bench.secondsPerCell
  const points: Point[] = []
  for (let calls = from; calls < to; ) {
    bench.report(`memory over ${measuredCalls} calls: ${calls - warmupCalls} so far`)
    const report = await bench.load(path, running, { connections, lengths })
    if (report.errors > 0) throw new Error(`${report.errors} errors: ${report.problems[0]}`)
    calls += report.calls
    const bytes = residentBytes(running.processId)
    if (bytes !== undefined) points.push({ x: calls, y: bytes })
  }
  return points
}

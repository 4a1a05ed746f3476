import { type Point, slopeOf } from '../load/trend.ts'
import { residentBytes } from '../measure/process-usage.ts'
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
    { id: 'gateway.calls-rss.end', what: 'resident memory after them', unit: 'MB' },
  ],
  async run({ bench, print }) {
    const running = await bench.path(path)
    const points: Point[] = []
    // A point a second, however long other cells are: a slope needs many.
    const lengths = 1 / bench.secondsPerCell
    let calls = 0
    while (calls < warmupCalls + measuredCalls) {
      bench.report(`memory over ${measuredCalls} calls: ${calls} so far`)
      const report = await bench.load(path, running, { connections, lengths })
      if (report.errors > 0) {
        bench.addFault(`${report.errors} errors over many calls: ${report.problems[0]}`)
        return {}
      }
      calls += report.calls
      const bytes = residentBytes(running.processId)
      if (bytes === undefined) return {}
      if (calls >= warmupCalls) points.push({ x: calls, y: bytes })
    }
    const bytesPerCall = slopeOf(points)
    print(
      `\nresident memory over ${calls} calls: ${points.map(({ y }) => (y / 1e6).toFixed(0)).join(' ')} MB; ${bytesPerCall.toFixed(1)} bytes per call`,
    )
    return {
      'gateway.calls-rss': [(bytesPerCall * measuredCalls) / 1e6],
      'gateway.calls-rss.end': [(points.at(-1)?.y ?? Number.NaN) / 1e6],
    }
  },
}

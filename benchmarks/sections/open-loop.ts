import { p99Difference, perRound } from '../measure/rows.ts'
import { contender } from './contenders.ts'
import type { Section } from './section.ts'

/** What the gateway adds to a call's latency at a rate that it carries with ease. */
export function openLoop(callsPerSecond: number, connections: number, barMs: number): Section {
  const id = `gateway.open${callsPerSecond}.p99`
  return {
    rows: [
      {
        id,
        what: `p99 over direct at ${callsPerSecond}/s (open loop, from the due time)`,
        unit: 'ms',
        bar: { atMost: barMs },
      },
      { id: `${id}.proxy`, what: 'the same of the bare proxy', unit: 'ms' },
    ],
    async run({ measure }) {
      const reports = await measure({
        title: `HTTP upstream, open loop at ${callsPerSecond}/s, ${connections} connections`,
        contenders: [
          contender('direct', 'http'),
          contender('bare-proxy', 'http'),
          contender('sallyport', 'http'),
        ],
        connections,
        callsPerSecond,
        // One call in a hundred makes the figure, and there are not many at this rate.
        lengths: 2,
      })
      return {
        [id]: perRound(reports, 'sallyport', ['direct'], p99Difference),
        [`${id}.proxy`]: perRound(reports, 'bare-proxy', ['direct'], p99Difference),
      }
    },
  }
}

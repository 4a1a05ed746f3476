import { median } from '../load/latencies.ts'
import { p99Ratio, perRound } from '../measure/rows.ts'
import { contender } from './contenders.ts'
import type { Section } from './section.ts'

const connections = 64
const shareOfCapacity = 0.3
const shareOfNeighbour = 0.1
const patienceMs = 1_000
const allowedMs = 0.5

const healthy = { ...contender('sallyport', 'with-neighbour'), label: 'the other server answers' }
const hanging = { ...contender('sallyport', 'with-hanging'), label: 'the other server hangs' }

/**
 * Nine calls of ten go to a server that answers, one to its neighbour; once the neighbour answers too, once it never
 * answers and its callers give up after a second.
 */
export const hangingNeighbour: Section = {
  rows: [
    {
      id: 'gateway.neighbour.p99',
      what: 'p99 of calls to one server while another hangs, less 0.5 ms; open loop at 30 % of capacity',
      unit: '× the same while the other answers',
      bar: { atMost: 1.25 },
    },
    { id: 'gateway.neighbour.p99-ratio', what: 'the same, nothing taken off', unit: '×' },
    { id: 'gateway.neighbour.rate', what: 'calls/s of both servers together', unit: 'calls/s' },
  ],
  async run({ bench, measure, print }) {
    const capacities: number[] = []
    for (let round = 0; round < Math.min(3, bench.rounds); round++) {
      bench.report(`capacity: round ${round + 1}`)
      // Of both, although one figure would do: neither may go into the comparison warmer than the other.
      for (const each of [healthy, hanging]) {
        const report = await bench.load(each, await bench.path(each), { connections })
        if (report.errors > 0) bench.addFault(`capacity: ${report.problems[0]}`)
        capacities.push(report.callsPerSecond)
      }
    }
    const rate = median(capacities) * shareOfCapacity
    const neighbourRate = rate * shareOfNeighbour
    const reports = await measure({
      title: `one of two servers hangs; open loop at ${rate.toFixed(0)}/s, a tenth of it to that server`,
      contenders: [healthy, hanging],
      connections,
      callsPerSecond: rate - neighbourRate,
      neighbour: {
        callsPerSecond: neighbourRate,
        // Enough for every call that waits for a server that does not answer.
        connections: Math.ceil((neighbourRate * patienceMs * 1.5) / 1000) + 1,
        patienceMs,
      },
    })
    for (const [label, rounds] of reports) {
      const fates = rounds.flatMap(({ neighbour }) => neighbour ?? [])
      const sum = (of: (fate: (typeof fates)[number]) => number) =>
        fates.reduce((total, fate) => total + of(fate), 0)
      print(
        `${label}: ${sum(({ sent }) => sent)} calls to it, ${sum(({ answered }) => answered)} answered, ${sum(({ refused }) => refused)} refused, ${sum(({ givenUp }) => givenUp)} given up, ${sum(({ skipped }) => skipped)} not sent`,
      )
    }
    const ratio = perRound(reports, hanging.label, [healthy.label], p99Ratio)
    const allowed = perRound(reports, hanging.label, [healthy.label], (ours, [theirs]) =>
      theirs ? Math.max(0, ours.p99Ms - allowedMs) / theirs.p99Ms : Number.NaN,
    )
    return {
      'gateway.neighbour.p99': allowed,
      'gateway.neighbour.p99-ratio': ratio,
      'gateway.neighbour.rate': [rate],
    }
  },
}

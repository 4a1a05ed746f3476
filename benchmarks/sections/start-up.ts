import { delay } from '../load/closed-loop.ts'
import { residentBytes } from '../measure/process-usage.ts'
import { contender } from './contenders.ts'
import type { Section } from './section.ts'

const settleMs = 1_000

/** Each start is a fresh process, ours and the proxy's by turns. */
export const startUp: Section = {
  rows: [
    {
      id: 'gateway.idle-rss',
      what: 'resident memory, idle, one HTTP upstream, after a first call',
      unit: 'MB',
      bar: { atMost: 105 },
    },
    {
      id: 'gateway.start',
      what: 'start of the process to the first answer',
      unit: '× bare proxy',
      bar: { atMost: 1.8 },
    },
    { id: 'gateway.start-ms', what: 'the same, absolute', unit: 'ms' },
  ],
  async run({ bench }) {
    const ratios: number[] = []
    const millis: number[] = []
    const megabytes: number[] = []
    for (let round = 0; round < bench.rounds; round++) {
      bench.report(`start and idle memory: round ${round + 1} of ${bench.rounds}`)
      const proxy = await bench.freshPath(contender('bare-proxy', 'http'))
      await proxy.stop()
      const ours = await bench.freshPath(contender('sallyport', 'http'))
      await delay(settleMs)
      const bytes = residentBytes(ours.processId)
      await ours.stop()
      millis.push(ours.startMs)
      ratios.push(ours.startMs / proxy.startMs)
      if (bytes !== undefined) megabytes.push(bytes / 1e6)
    }
    return { 'gateway.idle-rss': megabytes, 'gateway.start': ratios, 'gateway.start-ms': millis }
  },
}

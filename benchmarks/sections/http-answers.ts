import type { Contender } from '../measure/bench.ts'
import { cpuRatio, perRound, rateRatio } from '../measure/rows.ts'
import { contender } from './contenders.ts'
import type { Section } from './section.ts'

interface AnswerOptions {
  id: string
  title: string
  proxy: Contender
  unit: string
  bar: number
}

/** Answers that are event streams, against a proxy that passes them on as they come. */
export const eventStreamAnswers: Section = answers({
  id: 'gateway.sse16',
  title: 'HTTP upstream that answers with event streams, 16 connections',
  proxy: contender('stream-proxy', 'sse'),
  unit: '× streaming proxy',
  bar: 0.85,
})

export const largeAnswers: Section = answers({
  id: 'gateway.large16',
  title: 'results of 100 KB, HTTP upstream, 16 connections',
  proxy: contender('bare-proxy', 'large'),
  unit: '× bare proxy',
  bar: 0.9,
})

function answers({ id, title, proxy, unit, bar }: AnswerOptions): Section {
  return {
    rows: [
      { id, what: `calls/s; ${title}`, unit, bar: { atLeast: bar } },
      { id: `${id}.cpu`, what: `CPU per call; ${title}`, unit },
    ],
    async run({ measure }) {
      const sallyport = contender('sallyport', proxy.upstream)
      const reports = await measure({
        title: `${title}, closed loop`,
        contenders: [proxy, sallyport],
        connections: 16,
      })
      const ours = (compare: typeof rateRatio) => perRound(reports, sallyport.label, [proxy.label], compare)
      return { [id]: ours(rateRatio), [`${id}.cpu`]: ours(cpuRatio) }
    },
  }
}

import type { Contender } from '../measure/bench.ts'
import { cpuPerCall, cpuRatio, p99Ratio, perRound, rateRatio } from '../measure/rows.ts'
import { contender } from './contenders.ts'
import type { Section } from './section.ts'

const times = '× bare proxy'

/** The gateway with everything a host has on, against a proxy that looks at nothing. */
export function httpJson(connections: 16 | 64): Section {
  const id = `gateway.http${connections}`
  const at = `JSON, HTTP upstream, ${connections} connections`
  const direct = contender('direct', 'http')
  const proxy = contender('bare-proxy', 'http')
  const sallyport = contender('sallyport', 'http')
  const aggregated: Contender = { ...sallyport, label: 'sallyport, aggregated', aggregated: true }
  return {
    rows: [
      {
        id,
        what: `calls/s with JWT, policy, routing and audit; ${at}`,
        unit: times,
        bar: { atLeast: 0.9 },
      },
      {
        id: `${id}.cpu`,
        what: `CPU per call of the gateway process; ${at}`,
        unit: times,
        bar: { atMost: 1.35 },
      },
      { id: `${id}.p99`, what: `p99 latency, closed loop; ${at}`, unit: times, bar: { atMost: 1.5 } },
      { id: `${id}.cpu-micros`, what: `CPU per call of the gateway process; ${at}`, unit: 'µs' },
      { id: `${id}.direct`, what: `calls/s; ${at}`, unit: '× direct' },
      {
        id: `${id}.aggregated`,
        what: `calls/s at the endpoint of all servers; ${at}`,
        unit: times,
      },
    ],
    async run({ measure }) {
      const reports = await measure({
        title: `HTTP upstream, ${connections} connections, closed loop`,
        contenders: [direct, proxy, sallyport, aggregated],
        connections,
      })
      const ours = (to: Contender, compare: typeof rateRatio) =>
        perRound(reports, sallyport.label, [to.label], compare)
      return {
        [id]: ours(proxy, rateRatio),
        [`${id}.cpu`]: ours(proxy, cpuRatio),
        [`${id}.p99`]: ours(proxy, p99Ratio),
        [`${id}.cpu-micros`]: (reports.get(sallyport.label) ?? []).map(cpuPerCall),
        [`${id}.direct`]: ours(direct, rateRatio),
        [`${id}.aggregated`]: perRound(reports, aggregated.label, [proxy.label], rateRatio),
      }
    },
  }
}

/** The same with revision 2026-07-28 on both sides. */
export const httpModern: Section = {
  rows: [
    {
      id: 'gateway.http16.modern',
      what: 'calls/s of 2026-07-28 on both sides, without sessions; HTTP upstream, 16 connections',
      unit: times,
    },
    {
      id: 'gateway.http16.modern.cpu',
      what: 'CPU per call of 2026-07-28 on both sides; HTTP upstream, 16 connections',
      unit: times,
    },
  ],
  async run({ measure }) {
    const reports = await measure({
      title: 'HTTP upstream, 16 connections, closed loop, revision 2026-07-28',
      contenders: [
        { ...contender('bare-proxy', 'http'), era: 'modern' },
        { ...contender('sallyport', 'http'), era: 'modern' },
      ],
      connections: 16,
    })
    const values = (compare: typeof rateRatio) => perRound(reports, 'sallyport', ['bare-proxy'], compare)
    return {
      'gateway.http16.modern': values(rateRatio),
      'gateway.http16.modern.cpu': values(cpuRatio),
    }
  },
}

import { cpuPerCall, perRound, rateRatio } from '../measure/rows.ts'
import type { PathName } from '../paths/path.ts'
import { contender } from './contenders.ts'
import type { Section } from './section.ts'

/** HTTP clients and a stdio server, against the programs that people use for that. */
export function stdioBridges(connections: 16 | 64): Section {
  const id = `gateway.stdio${connections}`
  const what = `HTTP client → stdio upstream, ${connections} connections`
  // supergateway starts a process per session, so that 64 connections would measure the memory of the machine.
  const bridges: PathName[] = connections === 16 ? ['mcp-proxy', 'supergateway'] : ['mcp-proxy']
  return {
    rows: [
      {
        id: `${id}.bridges`,
        what: `calls/s; ${what}`,
        unit: `× ${connections === 16 ? 'the better of mcp-proxy and supergateway' : 'mcp-proxy'}`,
        bar: { atLeast: 7 },
      },
      { id: `${id}.mcphub`, what: `calls/s; ${what}`, unit: '× mcp-hub', bar: { atLeast: 3 } },
      {
        id: `${id}.cpu-micros`,
        what: `CPU per call of the gateway process and its stdio server; ${what}`,
        unit: 'µs',
      },
    ],
    async run({ measure }) {
      const names: PathName[] = ['sallyport', ...bridges, 'mcp-hub']
      const reports = await measure({
        title: `${what}, closed loop`,
        contenders: names.map((name) => contender(name, 'stdio')),
        connections,
      })
      return {
        [`${id}.bridges`]: perRound(reports, 'sallyport', bridges, rateRatio),
        [`${id}.mcphub`]: perRound(reports, 'sallyport', ['mcp-hub'], rateRatio),
        [`${id}.cpu-micros`]: (reports.get('sallyport') ?? []).map(cpuPerCall),
      }
    },
  }
}

import type { Contender } from '../measure/bench.ts'
import { perRound, rateRatio } from '../measure/rows.ts'
import { contender } from './contenders.ts'
import type { Section } from './section.ts'

const what = 'tools/list over 10 upstreams with 20 tools each, warm, 16 connections'
const oneServer: Contender = {
  ...contender('direct', 'tools-of-one'),
  label: 'one server with the 200 tools',
}
const sallyport: Contender = { ...contender('sallyport', 'tools-of-ten'), aggregated: true }
const mcpHub = contender('mcp-hub', 'tools-of-ten')

export const toolList: Section = {
  rows: [
    { id: 'gateway.list16', what, unit: '× one server with the 200 tools', bar: { atLeast: 1 } },
    { id: 'gateway.list16.mcphub', what, unit: '× mcp-hub' },
  ],
  async run({ measure }) {
    const reports = await measure({
      title: `${what}, closed loop`,
      contenders: [oneServer, sallyport, mcpHub],
      connections: 16,
    })
    const ours = (to: Contender) => perRound(reports, sallyport.label, [to.label], rateRatio)
    return { 'gateway.list16': ours(oneServer), 'gateway.list16.mcphub': ours(mcpHub) }
  },
}

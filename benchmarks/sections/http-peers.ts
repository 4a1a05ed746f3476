import { perRound, rateRatio } from '../measure/rows.ts'
import type { PathName } from '../paths/path.ts'
import { contender } from './contenders.ts'
import type { Section } from './section.ts'

const peers: readonly PathName[] = ['mcp-proxy', 'mcp-hub', 'civic', 'sdk-pair']

/** HTTP on both sides, against other gateways and what one would write with the SDK. */
export function httpPeers(connections: 16 | 64): Section {
  const id = `gateway.peers${connections}`
  const what = `calls/s; HTTP client → HTTP upstream, ${connections} connections`
  return {
    rows: [
      {
        id,
        what,
        unit: '× the best of mcp-proxy, mcp-hub, passthrough-mcp-server and an SDK pair',
        bar: { atLeast: 8 },
      },
      ...peers.map((peer) => ({ id: `${id}.${peer}`, what, unit: `× ${peer}` })),
    ],
    async run({ measure }) {
      const reports = await measure({
        title: `HTTP client → HTTP upstream, ${connections} connections, closed loop`,
        contenders: ['sallyport' as const, ...peers].map((name) => contender(name, 'http')),
        connections,
      })
      return Object.fromEntries([
        [id, perRound(reports, 'sallyport', peers, rateRatio)],
        ...peers.map((peer) => [`${id}.${peer}`, perRound(reports, 'sallyport', [peer], rateRatio)]),
      ])
    },
  }
}

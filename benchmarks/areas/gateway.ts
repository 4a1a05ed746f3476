import { delay } from '../load/closed-loop.ts'
import type { Bench, Contender, Group, GroupReports } from '../measure/bench.ts'
import { residentBytes } from '../measure/process-usage.ts'
import {
  type Row,
  cpuPerCall,
  cpuRatio,
  p99Difference,
  p99Ratio,
  perRound,
  rateRatio,
  row,
} from '../measure/rows.ts'
import { groupTable } from '../measure/tables.ts'
import type { PathName } from '../paths/path.ts'
import type { Area } from './area.ts'

/** What the gateway costs with authentication, routing and audit on, against doing nothing and against its peers. */
export const gatewayArea: Area = {
  name: 'gateway',
  async run(bench, print) {
    const measure = async (group: Group) => {
      const reports = await bench.runGroup(group)
      const labels = group.contenders.map(({ label }) => label)
      print(groupTable(group.title, labels, reports))
      return reports
    }
    return [
      ...(await httpRows(measure)),
      ...(await modernRows(measure)),
      ...(await latencyRows(measure)),
      ...(await stdioRows(measure)),
      ...(await startRows(bench)),
    ]
  },
}

type Measure = (group: Group) => Promise<GroupReports>

const proxy = 'bare-proxy'
const direct = contender('direct', 'http')
const bareProxy = contender(proxy, 'http')
const sallyport = contender('sallyport', 'http')
const aggregated: Contender = { ...sallyport, label: 'sallyport, aggregated', aggregated: true }

async function httpRows(measure: Measure): Promise<Row[]> {
  const rows: Row[] = []
  for (const connections of [16, 64]) {
    const id = `gateway.http${connections}`
    const at = `JSON, HTTP upstream, ${connections} connections`
    const contenders =
      connections === 16 ? [direct, bareProxy, sallyport, aggregated] : [direct, bareProxy, sallyport]
    const reports = await measure({
      title: `HTTP upstream, ${connections} connections, closed loop`,
      contenders,
      connections,
    })
    const ours = (to: string, compare: typeof rateRatio) => perRound(reports, 'sallyport', [to], compare)
    const times = '× bare proxy'
    rows.push(
      row({
        id,
        what: `calls/s with authentication, routing and audit; ${at}`,
        unit: times,
        values: ours(proxy, rateRatio),
        bar: { atLeast: 0.8 },
      }),
      row({
        id: `${id}.cpu`,
        what: `CPU per call of the gateway process; ${at}`,
        unit: times,
        values: ours(proxy, cpuRatio),
      }),
      row({
        id: `${id}.cpu-micros`,
        what: `the same, absolute; ${at}`,
        unit: 'µs',
        values: (reports.get('sallyport') ?? []).map(cpuPerCall),
      }),
      row({
        id: `${id}.p99`,
        what: `p99 latency, closed loop; ${at}`,
        unit: times,
        values: ours(proxy, p99Ratio),
      }),
      row({
        id: `${id}.direct`,
        what: `calls/s; ${at}`,
        unit: '× direct',
        values: ours('direct', rateRatio),
      }),
    )
    if (connections === 16) {
      const values = perRound(reports, aggregated.label, [proxy], rateRatio)
      rows.push(
        row({
          id: `${id}.aggregated`,
          what: `calls/s at the endpoint of all servers; ${at}`,
          unit: times,
          values,
        }),
      )
    }
  }
  return rows
}

async function modernRows(measure: Measure): Promise<Row[]> {
  const contenders: Contender[] = [
    { ...bareProxy, era: 'modern' },
    { ...sallyport, era: 'modern' },
  ]
  const title = 'HTTP upstream, 16 connections, closed loop, revision 2026-07-28'
  const reports = await measure({ title, contenders, connections: 16 })
  const what = 'of 2026-07-28 on both sides, without sessions; HTTP upstream, 16 connections'
  const values = (compare: typeof rateRatio) => perRound(reports, 'sallyport', [proxy], compare)
  return [
    row({
      id: 'gateway.http16.modern',
      what: `calls/s ${what}`,
      unit: '× bare proxy',
      values: values(rateRatio),
    }),
    row({
      id: 'gateway.http16.modern.cpu',
      what: `CPU per call ${what}`,
      unit: '× bare proxy',
      values: values(cpuRatio),
    }),
  ]
}

async function latencyRows(measure: Measure): Promise<Row[]> {
  const rows: Row[] = []
  for (const { callsPerSecond, connections } of [
    { callsPerSecond: 400, connections: 32 },
    { callsPerSecond: 1000, connections: 64 },
  ]) {
    const title = `HTTP upstream, open loop at ${callsPerSecond}/s, ${connections} connections`
    const reports = await measure({ title, contenders: [direct, sallyport], connections, callsPerSecond })
    rows.push(
      row({
        id: `gateway.open${callsPerSecond}.p99`,
        what: `p99 over direct at ${callsPerSecond}/s (open loop, from the due time)`,
        unit: 'ms',
        values: perRound(reports, 'sallyport', ['direct'], p99Difference),
      }),
    )
  }
  return rows
}

async function stdioRows(measure: Measure): Promise<Row[]> {
  const names = ['sallyport', 'mcp-proxy', 'supergateway', 'mcp-hub'] as const
  const contenders = names.map((name) => contender(name, 'stdio'))
  const reports = await measure({
    title: 'HTTP client → stdio upstream, 16 connections, closed loop',
    contenders,
    connections: 16,
  })
  const ours = (to: readonly string[], compare: typeof rateRatio) =>
    perRound(reports, 'sallyport', to, compare)
  const what = 'calls/s, HTTP client → stdio upstream, 16 connections'
  return [
    row({
      id: 'gateway.stdio16.bridges',
      what: `${what}, against the better of mcp-proxy and supergateway`,
      unit: '×',
      values: ours(['mcp-proxy', 'supergateway'], rateRatio),
      bar: { atLeast: 6 },
    }),
    row({
      id: 'gateway.stdio16.mcphub',
      what: `${what}, against mcp-hub`,
      unit: '×',
      values: ours(['mcp-hub'], rateRatio),
      bar: { atLeast: 2.5 },
    }),
    row({
      id: 'gateway.stdio16.cpu-micros',
      what: 'CPU per call of the gateway process and its stdio server, 16 connections',
      unit: 'µs',
      values: (reports.get('sallyport') ?? []).map(cpuPerCall),
    }),
  ]
}

const starts = 3
const settleMs = 1_000

/** Each start is a fresh process, ours and the proxy's by turns. */
async function startRows(bench: Bench): Promise<Row[]> {
  const startRatios: number[] = []
  const startsMs: number[] = []
  const idleMegabytes: number[] = []
  for (let round = 0; round < starts; round++) {
    bench.report(`start and idle memory: round ${round + 1} of ${starts}`)
    try {
      const yardstick = await bench.freshPath(bareProxy)
      await yardstick.stop()
      const ours = await bench.freshPath(sallyport)
      await delay(settleMs)
      const bytes = residentBytes(ours.processId)
      await ours.stop()
      startsMs.push(ours.startMs)
      startRatios.push(ours.startMs / yardstick.startMs)
      if (bytes !== undefined) idleMegabytes.push(bytes / 2 ** 20)
    } catch (error) {
      bench.addFault(`start: ${error instanceof Error ? error.message : String(error)}`)
      break
    }
  }
  return [
    row({
      id: 'gateway.idle-rss',
      what: 'resident memory, idle, one HTTP upstream',
      unit: 'MB',
      values: idleMegabytes,
    }),
    row({
      id: 'gateway.start',
      what: 'start of the process to the first answer',
      unit: '× bare proxy',
      values: startRatios,
    }),
    row({ id: 'gateway.start-ms', what: 'the same, absolute', unit: 'ms', values: startsMs }),
  ]
}

function contender(name: PathName, upstream: Contender['upstream']): Contender {
  return { label: name, name, upstream, era: 'legacy' }
}

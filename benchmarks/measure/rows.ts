import { median } from '../load/latencies.ts'
import type { LoadReport } from '../load/load-window.ts'
import type { GroupReports } from './bench.ts'

/** One line of results.json. `bar` and `ok` are null where a figure is shown without a bar. */
export interface Row {
  id: string
  what: string
  /** Null when it could not be measured. */
  value: number | null
  unit: string
  bar: string | null
  ok: boolean | null
}

export interface RowOptions {
  id: string
  what: string
  unit: string
  /** One value per round; the row shows their median. */
  values: readonly number[]
  bar?: { atLeast: number } | { atMost: number }
}

export function row({ id, what, unit, values, bar }: RowOptions): Row {
  const middle = median(values)
  const value = Number.isFinite(middle) ? Number(middle.toPrecision(4)) : null
  if (!bar) return { id, what, value, unit, bar: null, ok: null }
  const [sign, limit] = 'atLeast' in bar ? ['≥', bar.atLeast] : ['≤', bar.atMost]
  const ok = value !== null && (sign === '≥' ? value >= limit : value <= limit)
  return { id, what, value, unit, bar: `${sign} ${limit}`, ok }
}

/**
 * For every round, what `of` measured against what `to` did in the same round. Rounds lie minutes apart and the machine
 * changes in between, so a ratio of medians would compare different machines.
 */
export function perRound(
  reports: GroupReports,
  of: string,
  to: readonly string[],
  compare: (report: LoadReport, others: LoadReport[]) => number,
): number[] {
  return (reports.get(of) ?? []).flatMap((report, round) => {
    const others = to.flatMap((label) => reports.get(label)?.[round] ?? [])
    return others.length === to.length ? [compare(report, others)] : []
  })
}

export const rateRatio = (report: LoadReport, others: LoadReport[]) =>
  report.callsPerSecond / Math.max(...others.map(({ callsPerSecond }) => callsPerSecond))

export const cpuRatio = (report: LoadReport, others: LoadReport[]) =>
  cpuPerCall(report) / Math.max(...others.map(cpuPerCall))

export const p99Ratio = (report: LoadReport, others: LoadReport[]) =>
  report.p99Ms / Math.max(...others.map(({ p99Ms }) => p99Ms))

export const p99Difference = (report: LoadReport, others: LoadReport[]) =>
  report.p99Ms - Math.max(...others.map(({ p99Ms }) => p99Ms))

/** Microseconds of the path's process and its descendants. */
export function cpuPerCall({ cpu, calls }: LoadReport): number {
  return cpu ? cpu.treeMicros / calls : Number.NaN
}

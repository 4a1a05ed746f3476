import { median } from '../load/latencies.ts'
import type { LoadReport } from '../load/load-window.ts'
import type { GroupReports } from './bench.ts'

export type Bar = { atLeast: number } | { atMost: number }

/** A row before it is measured. */
export interface RowDefinition {
  /** `<area>.<short name>`; unique. */
  id: string
  what: string
  unit: string
  /** Absent where a figure only explains others. */
  bar?: Bar
}

/** One line of the table. `bar` and `ok` are null where a figure is shown without a bar. */
export interface Row {
  id: string
  what: string
  /** The median of `values`; null when it could not be measured. */
  value: number | null
  min: number | null
  max: number | null
  /** One per round. */
  values: number[]
  unit: string
  bar: string | null
  ok: boolean | null
}

/** What a section measured, by the ids of its rows: one value per round. */
export type RowValues = Readonly<Record<string, readonly number[]>>

export function row({ id, what, unit, bar }: RowDefinition, measured: readonly number[]): Row {
  const values = measured.filter(Number.isFinite).map(rounded)
  const value = values.length === 0 ? null : rounded(median(values))
  const figures = {
    value,
    min: values.length === 0 ? null : Math.min(...values),
    max: values.length === 0 ? null : Math.max(...values),
    values,
  }
  if (!bar) return { id, what, ...figures, unit, bar: null, ok: null }
  const ok = value !== null && ('atLeast' in bar ? value >= bar.atLeast : value <= bar.atMost)
  return { id, what, ...figures, unit, bar: barText(bar), ok }
}

export function barText(bar: Bar): string {
  return 'atLeast' in bar ? `≥ ${bar.atLeast}` : `≤ ${bar.atMost}`
}

/** Four digits say more than any of these figures is good for. */
function rounded(value: number): number {
  return Number(value.toPrecision(4))
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

import { median } from '../load/latencies.ts'
import type { LoadReport } from '../load/load-window.ts'
import type { GroupReports } from './bench.ts'
import { type Row, type RowDefinition, barText, cpuPerCall, perRound, rateRatio } from './rows.ts'

/** Medians over the rounds of a group, one line per contender; the rate also against the first contender's. */
export function groupTable(title: string, labels: readonly string[], reports: GroupReports): string {
  const base = labels.find((label) => reports.has(label))
  const lines = labels.flatMap((label) => {
    const rounds = reports.get(label)
    if (!rounds || base === undefined) return [[label, 'did not run']]
    const of = (value: (report: LoadReport) => number) => median(rounds.map(value))
    const ratios = perRound(reports, label, [base], rateRatio)
    return [
      [
        label,
        of((report) => report.callsPerSecond).toFixed(0),
        `${median(ratios).toFixed(3)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`,
        of((report) => report.p50Ms).toFixed(2),
        of((report) => report.p95Ms).toFixed(2),
        of((report) => report.p99Ms).toFixed(2),
        of(cpuPerCall).toFixed(1),
        of(({ cpu, calls }) => (cpu ? cpu.ownMicros / calls : Number.NaN)).toFixed(1),
        of(({ cpu, calls }) => (cpu ? cpu.generatorMicros / calls : Number.NaN)).toFixed(1),
        of(({ cpu }) => (cpu ? cpu.treeRssBytes / 1e6 : Number.NaN)).toFixed(0),
        String(rounds.reduce((total, { errors }) => total + errors, 0)),
        of(({ cpu }) => cpu?.strangersCores ?? Number.NaN).toFixed(2),
      ],
    ]
  })
  const head = [
    'path',
    'calls/s',
    `to ${base ?? '-'} (min–max)`,
    'p50 ms',
    'p95 ms',
    'p99 ms',
    'CPU µs/call',
    'own',
    'generator',
    'RSS MB',
    'errors',
    'others, cores',
  ]
  return `\n${title}\n${align([head, ...lines])}`
}

export function rowTable(rows: readonly Row[]): string {
  return align([rowHead, ...rows.map((row) => cellsOf(row))])
}

/** The same as Markdown, for benchmarks/README.md. */
export function markdownRowTable(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const [id, ...rest] = cellsOf(row)
    return [`\`${id}\``, ...rest]
  })
  const cells = [rowHead, rowHead.map(() => '---'), ...lines]
  return cells.map((line) => `| ${line.join(' | ')} |`).join('\n')
}

const rowHead = ['row', 'measured (min–max)', 'bar', '', 'what']

function cellsOf({ id, what, value, min, max, values, unit, bar, ok }: Row): string[] {
  const range = values.length > 1 && min !== null && max !== null ? ` (${short(min)}–${short(max)})` : ''
  return [
    id,
    value === null ? 'not measured' : `${short(value)}${range} ${unit}`,
    bar ?? '',
    ok === null ? '' : ok ? 'ok' : 'MISSED',
    what,
  ]
}

/** Three digits: the rest changes from run to run. */
function short(value: number): string {
  return String(Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3)))
}

/** Rows before they are measured. */
export function definitionTable(definitions: readonly RowDefinition[]): string {
  const lines = definitions.map(({ id, what, unit, bar }) => [id, unit, bar ? barText(bar) : '', what])
  return align([['row', 'unit', 'bar', 'what'], ...lines])
}

function align(lines: readonly string[][]): string {
  const widths: number[] = []
  for (const line of lines)
    line.forEach((cell, index) => (widths[index] = Math.max(widths[index] ?? 0, cell.length)))
  return lines
    .map((line) =>
      line
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

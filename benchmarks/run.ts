import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createBench } from './measure/bench.ts'
import { describeRun, readResults, type Results, thisMachine, writeResults } from './measure/results.ts'
import { type Row, type RowDefinition, row } from './measure/rows.ts'
import { definitionTable, groupTable, markdownRowTable, rowTable } from './measure/tables.ts'
import { profilePath } from './profile.ts'
import { allSections } from './sections/all-sections.ts'
import type { Section, SectionTools } from './sections/section.ts'

const usage = `usage: npm run bench -- [--only PREFIX] [--rounds N] [--seconds N] [--quick] [--markdown]
       npm run bench -- --list
       npm run bench -- --markdown --from FILE
       npm run bench -- --profile PATH [--connections N] [--seconds N]

  --only PREFIX    only rows whose id begins so; what is measured with them is run, but not shown
  --rounds N       how often every cell is measured (5)
  --seconds N      how long a cell is measured (3)
  --quick          2 rounds of 1 second: does it work, not how fast
  --markdown       print the rows as they stand in benchmarks/README.md
  --from FILE      measure nothing, print the rows of an earlier run (benchmarks/results.json)
  --list           the rows, their bars, and what each is
  --profile PATH   profile sallyport, sallyport.stdio, sallyport.aggregated, sallyport.modern, bare-proxy or a peer
  --connections N  for --profile (16)`

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
    from: { type: 'string' },
    list: { type: 'boolean', default: false },
    profile: { type: 'string' },
    connections: { type: 'string', default: '16' },
    help: { type: 'boolean', default: false },
  },
})
const print = (text: string) => void process.stdout.write(`${text}\n`)
const report = (line: string) => void process.stderr.write(`# ${line}\n`)
const isChosen = ({ id }: RowDefinition) => id.startsWith(values.only)
/** A part of the rows, or a quick look at them, does not take the place of a whole run. */
const isWhole = values.only === '' && !values.quick
const resultsFile = join(import.meta.dirname, isWhole ? 'results.json' : 'results.partial.json')

if (values.help) print(usage)
else if (values.list) list()
else if (values.from !== undefined) show(readResults(values.from))
else process.exitCode = await main()
// What is still open now must not keep the command alive.
process.exit()

function list(): void {
  print(definitionTable(allSections.flatMap(({ rows }) => rows.filter(isChosen))))
}

function show(results: Results): void {
  print(
    `\n${describeRun(results)}\n\n${values.markdown ? markdownRowTable(results.rows) : rowTable(results.rows)}`,
  )
  const bars = results.rows.filter(({ ok }) => ok !== null)
  const kept = bars.filter(({ ok }) => ok === true).length
  print(`\n${kept} of ${bars.length} bars kept, ${results.faults.length} faults`)
}

async function main(): Promise<number> {
  const chosen = allSections.filter(({ rows }) => rows.some(isChosen))
  const rounds = Number(values.rounds ?? (values.quick ? 2 : 5))
  const secondsPerCell = Number(values.seconds ?? (values.quick ? 1 : values.profile === undefined ? 3 : 5))
  if (chosen.length === 0 || !(rounds >= 1) || !(secondsPerCell > 0)) {
    process.stderr.write(`${usage}\n`)
    return 2
  }
  const startedAt = new Date()
  const bench = createBench({ rounds, secondsPerCell, report })
  const tools: SectionTools = {
    bench,
    print,
    async measure(group) {
      const reports = await bench.runGroup(group)
      print(
        groupTable(
          group.title,
          group.contenders.map(({ label }) => label),
          reports,
        ),
      )
      return reports
    },
  }
  const rows: Row[] = []
  try {
    if (values.profile === undefined) {
      for (const section of chosen) rows.push(...(await runSection(section, tools)))
    } else {
      await profilePath({ bench, target: values.profile, connections: Number(values.connections), print })
    }
  } catch (error) {
    bench.addFault(textOf(error))
  } finally {
    await bench.stop()
  }
  if (values.profile === undefined) {
    const results: Results = {
      startedAt: startedAt.toISOString(),
      minutes: Number(((Date.now() - startedAt.getTime()) / 60_000).toFixed(1)),
      command: ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(
        ' ',
      ),
      machine: thisMachine(),
      rounds,
      secondsPerCell,
      strangersCores: bench.strangersCores === undefined ? null : Number(bench.strangersCores.toFixed(2)),
      rows,
      faults: bench.faults,
    }
    writeResults(resultsFile, results)
    show(results)
  }
  // A missed bar is a figure to read, not a failure; a path that did not run or a wrong answer is one.
  for (const fault of bench.faults) process.stderr.write(`fault: ${fault}\n`)
  return bench.faults.length > 0 ? 1 : 0
}

/** A section that fails must not take the others' rows with it. */
async function runSection({ rows, run }: Section, tools: SectionTools): Promise<Row[]> {
  const measured = await run(tools).catch((error: unknown) => {
    tools.bench.addFault(`${rows[0]?.id}: ${textOf(error)}`)
    return {}
  })
  await tools.bench.release()
  const figures = new Map<string, readonly number[]>(Object.entries(measured))
  return rows.filter(isChosen).map((definition) => row(definition, figures.get(definition.id) ?? []))
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

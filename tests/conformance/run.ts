/**
 * `npm run conformance`: the official MCP conformance suite against the fixture and through the gateway.
 *   --only TEXT      only the cells whose id contains TEXT
 *   --scenario NAME  only this scenario
 *   --all            also the cells that are planned
 *   --keep           keep what the suite and the processes wrote, and print where
 *   --gateway FILE   the program to measure (default examples/gateway/main.ts)
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Cell, cells, type ClientCell, type ServerCell } from './cells.ts'
import { expectedFailures } from './expected-failures.ts'
import { type ServerEntry, startGateway } from './gateway-process.ts'
import { type Check, didNotRun, judge, type Outcomes, type Verdict } from './judge.ts'
import { repositoryRoot, type ServerProcess, startServer, stopAll } from './processes.ts'
import { runClientScenario, runServerSuite, scoredScenarios, suiteVersion } from './suite.ts'
import { table } from './table.ts'

const fixtureMain = fileURLToPath(import.meta.resolve('@sallyport/fake-mcp-upstream/main'))
/** Each is four processes; more at once would blur what the scenarios measure in milliseconds. */
const clientsAtOnce = 2
const resultsFile = join(repositoryRoot, 'conformance/results.json')

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    scenario: { type: 'string' },
    all: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    gateway: { type: 'string', default: 'examples/gateway/main.ts' },
  },
})

interface Row {
  cell: Cell
  seconds: number
  verdict: Verdict
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    stopAll()
    process.exit(130)
  })
}

const workFolder = await mkdtemp(join(tmpdir(), 'conformance-'))
const selected = cells.filter((cell) => cell.id.includes(options.only))
const rows: Row[] = []
console.log(`MCP conformance suite ${await suiteVersion()}`)
for (const cell of selected.filter(({ planned }) => options.all || !planned)) {
  const row = await measure(cell)
  if (row === undefined) continue
  rows.push(row)
  report(row)
}
const listed = selected.filter((cell) => cell.planned || rows.some((row) => row.cell === cell))
console.log(
  table(
    listed.map((cell) =>
      tableRow(
        cell,
        rows.find((row) => row.cell === cell),
      ),
    ),
  ),
)
await finish()

/** Absent for a cell to which the wanted scenario does not apply. */
async function measure(cell: Cell): Promise<Row | undefined> {
  const startedAt = performance.now()
  const folder = join(workFolder, cell.id)
  await mkdir(folder, { recursive: true })
  const wanted = (scenario: string) => options.scenario === undefined || scenario === options.scenario
  const scored = (await scoredScenarios(cell.revision, cell.kind)).filter(needsNoAuthorization).filter(wanted)
  const alsoRequired = cell.alsoRequired.filter(({ scenario }) => wanted(scenario))
  if (scored.length + alsoRequired.length === 0) return undefined
  const outcomes =
    cell.kind === 'server'
      ? await measureServer(cell, folder)
      : await measureClient(cell, folder, [...scored, ...alsoRequired.map(({ scenario }) => scenario)])
  const verdict = judge(scored, alsoRequired, outcomes, expectedFailures[cell.id] ?? [])
  return { cell, seconds: (performance.now() - startedAt) / 1000, verdict }
}

/** A gateway is the OAuth client of its upstreams and the resource of its clients; these scenarios test one party as both. */
function needsNoAuthorization(scenario: string): boolean {
  return !scenario.startsWith('auth/')
}

async function measureServer(cell: ServerCell, folder: string): Promise<Outcomes> {
  const started: ServerProcess[] = []
  try {
    const url = await startTarget(cell, folder, started)
    return await runServerSuite(url, suiteRun(cell, folder))
  } catch (error) {
    return unstartable(cell, error)
  } finally {
    for (const server of started.toReversed()) await server.stop()
  }
}

/** Starts what the cell consists of, noting each process for its end, and returns the URL to measure. */
async function startTarget(cell: ServerCell, folder: string, started: ServerProcess[]): Promise<string> {
  let entry: ServerEntry = {
    command: process.execPath,
    args: [fixtureMain, '--stdio', '--era', cell.upstreamEra],
  }
  if (cell.transport === 'http') {
    const fixture = await startServer(
      [fixtureMain, '--http', '--port', '0', '--era', cell.upstreamEra],
      join(folder, 'fixture.log'),
    )
    started.push(fixture)
    entry = { url: fixture.url }
    if (cell.through === 'nothing') return fixture.url
  }
  const gateway = await startGateway(options.gateway, entry, folder)
  started.push(gateway)
  return gateway.url
}

/** Scenario by scenario: the requirement set as a whole would run those that need authorization, and all at once. */
async function measureClient(cell: ClientCell, folder: string, scenarios: string[]): Promise<Outcomes> {
  const driver = join(import.meta.dirname, 'client-driver.ts')
  const through = cell.through === 'gateway' ? ` --gateway "${options.gateway}"` : ''
  const command = `"${process.execPath}" --conditions=@sallyport/source "${driver}"${through}`
  const outcomes = new Map<string, readonly Check[]>()
  const queue = [...scenarios]
  const work = async () => {
    for (let scenario = queue.shift(); scenario !== undefined; scenario = queue.shift()) {
      const outputFolder = join(folder, scenario)
      await mkdir(outputFolder)
      const run = { revision: cell.revision, scenario, outputFolder }
      outcomes.set(scenario, await runClientScenario(command, run))
    }
  }
  await Promise.all(Array.from({ length: clientsAtOnce }, work))
  return outcomes
}

function suiteRun(cell: Cell, outputFolder: string) {
  return {
    revision: cell.revision,
    outputFolder,
    ...(options.scenario !== undefined && { scenario: options.scenario }),
  }
}

function unstartable(cell: Cell, error: unknown): Outcomes {
  console.error(`${cell.id}: ${error instanceof Error ? error.message : String(error)}`)
  return new Map()
}

function report({ cell, seconds, verdict }: Row): void {
  console.log(`${isGood(verdict) ? 'ok  ' : 'FAIL'} ${cell.id} (${seconds.toFixed(1)} s)`)
  const { unexpected, scored, alsoRequired } = verdict
  const idle = unexpected.filter(({ message }) => message === didNotRun)
  if (idle.length === scored + alsoRequired) return console.log('       no scenario ran')
  for (const { id, message } of unexpected) console.log(`       ${id} — ${message}`)
  for (const id of verdict.stale) console.log(`       ${id} — is expected to fail, and passes`)
}

function isGood({ unexpected, stale }: Verdict): boolean {
  return unexpected.length === 0 && stale.length === 0
}

function tableRow(cell: Cell, row: Row | undefined): Record<string, string> {
  const { front, upstream, transport } = cell
  if (row === undefined)
    return { front, upstream, transport, scored: 'planned', 'by name': '', expected: '', seconds: '' }
  const { verdict, seconds } = row
  return {
    front,
    upstream,
    transport,
    scored: `${verdict.passed}/${verdict.scored}`,
    'by name': `${verdict.alsoPassed}/${verdict.alsoRequired}`,
    expected: String(verdict.expected.length),
    seconds: seconds.toFixed(1),
  }
}

async function finish(): Promise<void> {
  const isComplete = options.only === '' && options.scenario === undefined
  if (isComplete) {
    await mkdir(join(resultsFile, '..'), { recursive: true })
    await writeFile(resultsFile, `${JSON.stringify(rows.map(result), undefined, 2)}\n`)
  }
  console.log(
    isComplete ? `Written to ${resultsFile}` : 'A partial run: conformance/results.json was not touched',
  )
  if (options.keep) console.log(`Kept in ${workFolder}`)
  else await rm(workFolder, { recursive: true })
  const good = rows.filter(({ verdict }) => isGood(verdict)).length
  console.log(`${good} cells as expected, ${rows.length - good} not`)
  // Nothing measured is nothing proved: a misspelt --only or --scenario must not look like success.
  process.exitCode = rows.length > 0 && good === rows.length ? 0 : 1
}

function result({ cell: { front, upstream, transport }, verdict: { passed, scored, expected } }: Row) {
  const reasons = expected.map(({ id, reason, spec }) => ({ id, reason: `${reason} (${spec})` }))
  return { front, upstream, transport, passed, scored, expectedFailures: reasons }
}

import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Check, Outcomes } from './judge.ts'
import { runProcess } from './processes.ts'

const suiteFolder = dirname(
  fileURLToPath(import.meta.resolve('@modelcontextprotocol/conformance/package.json')),
)
const suiteMain = join(suiteFolder, 'dist/index.js')

export async function suiteVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(suiteFolder, 'package.json'), 'utf8'))
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest)
    return String(manifest.version)
  throw new Error(`${suiteFolder} has no version`)
}

/** The scenarios that count for a revision: the frozen list that comes with the suite. */
export async function scoredScenarios(revision: string, leg: 'server' | 'client'): Promise<string[]> {
  const lines = (await readFile(join(suiteFolder, 'requirements', `${revision}.yaml`), 'utf8')).split('\n')
  const start = lines.indexOf(`${leg}:`)
  if (start === -1) throw new Error(`The requirement set ${revision} has no section ${leg}`)
  const section = lines.slice(start + 1)
  const end = section.findIndex((line) => /^\w/.test(line))
  const names = section.slice(0, end === -1 ? undefined : end).map((line) => /^ {2}- (\S+)/.exec(line)?.[1])
  return names.filter((name) => name !== undefined)
}

export interface SuiteRun {
  revision: string
  /** Only this scenario; absent: all of the requirement set, scored or not. */
  scenario?: string
  outputFolder: string
}

/** The exit code is of no use here: it is also 1 for scenarios that nobody requires. */
export async function runServerSuite(url: string, run: SuiteRun): Promise<Outcomes> {
  await runSuite(['server', '--url', url], run)
  return readOutcomes(run.outputFolder, 'server-')
}

/**
 * Runs one client scenario; `command` gets the URL of the suite's server as its last argument. A command that fails
 * fails the scenario, unless the scenario itself allows that: the suite knows and says so by its exit code.
 */
export async function runClientScenario(
  command: string,
  run: SuiteRun & { scenario: string },
): Promise<readonly Check[]> {
  const exitCode = await runSuite(['client', '--command', command], run)
  const checks = (await readOutcomes(run.outputFolder, '')).get(run.scenario) ?? []
  const explained = checks.some(({ status }) => status === 'FAILURE' || status === 'WARNING')
  if (exitCode === 0 || explained) return checks
  return [
    ...checks,
    { id: 'client-command', status: 'FAILURE', errorMessage: 'the client failed or took too long' },
  ]
}

function runSuite(leg: string[], { revision, scenario, outputFolder }: SuiteRun): Promise<number> {
  const selection =
    scenario === undefined
      ? ['--requirements', revision]
      : ['--scenario', scenario, '--spec-version', revision]
  const log = join(outputFolder, `suite${scenario === undefined ? '' : `-${scenario}`}.log`)
  return runProcess([suiteMain, ...leg, ...selection, '--output-dir', outputFolder], log)
}

/** The suite writes `<prefix><scenario>-<time>/checks.json` for each scenario. */
async function readOutcomes(folder: string, prefix: string): Promise<Outcomes> {
  const outcomes = new Map<string, Check[]>()
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const scenario = /^(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(entry.name)?.[1]
    if (!entry.isDirectory() || scenario === undefined || !scenario.startsWith(prefix)) continue
    const file = join(folder, entry.name, 'checks.json')
    // Absent when the scenario itself broke down; it then counts as not run.
    if (existsSync(file)) outcomes.set(scenario.slice(prefix.length), await readChecks(file))
  }
  return outcomes
}

async function readChecks(file: string): Promise<Check[]> {
  const checks: unknown = JSON.parse(await readFile(file, 'utf8'))
  if (!Array.isArray(checks)) throw new Error(`${file} is not a list`)
  return checks.map((check: unknown) => {
    if (typeof check !== 'object' || check === null || !('id' in check) || !('status' in check)) {
      throw new Error(`${file} holds something that is not a check`)
    }
    const errorMessage = 'errorMessage' in check ? String(check.errorMessage) : undefined
    return { id: String(check.id), status: String(check.status), errorMessage }
  })
}

// Runs the gates, two at a time, and prints one line for each. `--only NAME[,NAME]` runs some of them (and what they need).
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Gate, gates } from './gates.ts'
import { runCommand } from './run-command.ts'
import { root } from './workspace.ts'

const { values } = parseArgs({
  options: { only: { type: 'string' }, 'test-status': { type: 'string' } },
})
const concurrency = 2
const results = new Map<string, boolean>()
const failed: string[] = []
const warnings: string[] = []

process.chdir(root)
const tests = readTestCounts()
const selected = select(values.only?.split(','))
await runAll(selected)
for (const warning of warnings) console.log(warning)
if (failed.length > 0) console.log(`failed: ${failed.join(', ')}`)
const passedGates = [...results.values()].filter(Boolean).length
const failedCount = tests.failed + failed.length
const summary = `${tests.passed + passedGates} passed, ${failedCount} failed\n`
mkdirSync('.cache', { recursive: true })
writeFileSync('.cache/summary.txt', summary)
// Under .ci/run the summary must be the very last line, whatever else is printed: it prints the file.
if (values['test-status'] === undefined) process.stdout.write(summary)
process.exitCode = failedCount === 0 ? 0 : 1

async function runAll(gatesToRun: readonly Gate[]): Promise<void> {
  const waiting = new Set(gatesToRun)
  const running = new Set<Promise<void>>()
  const isReady = ({ after = [] }: Gate) =>
    after.every((name) => !selected.some((gate) => gate.name === name) || results.has(name))
  while (waiting.size > 0 || running.size > 0) {
    for (const gate of waiting) {
      if (running.size === concurrency) break
      if (!isReady(gate)) continue
      waiting.delete(gate)
      const run = runGate(gate).finally(() => running.delete(run))
      running.add(run)
    }
    await Promise.race(running)
  }
}

async function runGate({ name, after = [], command, budgetSeconds, needs }: Gate): Promise<void> {
  if (needs && !existsSync(join(root, needs))) {
    console.log(`--   ${name}: there is no ${needs} yet`)
    return
  }
  const broken = after.filter((other) => results.get(other) === false)
  if (broken.length > 0) {
    finish(name, false, `not run: ${broken.join(', ')} failed`, 0)
    return
  }
  const started = performance.now()
  const [program = '', ...programArguments] = command
  const { code, output } = await runCommand(
    program === 'node' ? process.execPath : program,
    programArguments,
    {
      cwd: root,
    },
  )
  const seconds = (performance.now() - started) / 1000
  finish(name, code === 0, output, seconds)
  if (seconds > budgetSeconds) {
    warnings.push(`warning: ${name} took ${seconds.toFixed(1)} s, its budget is ${budgetSeconds} s`)
  }
}

function finish(name: string, passed: boolean, output: string, seconds: number): void {
  results.set(name, passed)
  if (passed) console.log(`ok   ${name} ${seconds.toFixed(1)} s`)
  else {
    failed.push(name)
    console.log(`FAIL ${name} ${seconds.toFixed(1)} s\n${output.trimEnd().replaceAll(/^/gm, '     ')}`)
  }
}

function select(only: readonly string[] | undefined): Gate[] {
  if (!only) return [...gates]
  const wanted = new Set<string>()
  const add = (name: string) => {
    const gate = gates.find((candidate) => candidate.name === name)
    if (!gate)
      throw new Error(`there is no gate ${name}; there are ${gates.map((each) => each.name).join(', ')}`)
    wanted.add(name)
    for (const other of gate.after ?? []) add(other)
  }
  for (const name of only) add(name)
  return gates.filter(({ name }) => wanted.has(name))
}

/** The tests ran before us. A test command that failed without a failed test (it did not start) is one failure. */
function readTestCounts(): { passed: number; failed: number } {
  if (values['test-status'] === undefined) return { passed: 0, failed: 0 }
  const succeeded = values['test-status'] === '0'
  if (!existsSync('.cache/tests.json')) {
    failedWithoutTests(succeeded)
    return { passed: 0, failed: 1 }
  }
  const counts: { passed: number; failed: number } = JSON.parse(readFileSync('.cache/tests.json', 'utf8'))
  return { passed: counts.passed, failed: succeeded ? counts.failed : Math.max(counts.failed, 1) }
}

function failedWithoutTests(succeeded: boolean): void {
  console.log(`FAIL tests: the test command ${succeeded ? 'ran no tests' : 'did not get as far as a test'}`)
}

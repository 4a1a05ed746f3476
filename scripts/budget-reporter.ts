import { mkdirSync, writeFileSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'

/** Seconds that a suite may take on a two-core machine. More prints a warning: a slow suite is one that people stop running. */
const budgetSeconds: Record<string, number> = {
  'tests/e2e': 180,
  'tests/faults': 120,
  'fakes/mcp-upstream': 45,
  gateway: 150,
}
const defaultBudgetSeconds = 20

interface SuiteResult {
  suite: string
  passed: number
  failed: number
  skipped: number
  seconds: number
}

/** Prints what each suite took against its budget, and leaves the counts in .cache/tests.json for .ci/run. */
export default class BudgetReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const suites = new Map<string, SuiteResult>()
    for (const module of modules) {
      const name = module.project.name
      const result = suites.get(name) ?? { suite: name, passed: 0, failed: 0, skipped: 0, seconds: 0 }
      suites.set(name, result)
      const { collectDuration, setupDuration, duration } = module.diagnostic()
      result.seconds += (collectDuration + setupDuration + duration) / 1000
      let tests = 0
      for (const test of module.children.allTests()) {
        tests++
        const { state } = test.result()
        if (state === 'passed') result.passed++
        else if (state === 'skipped') result.skipped++
        else result.failed++
      }
      // A file that failed to load has no tests, and a failing hook fails none of them.
      if (module.state() === 'failed' && (tests === 0 || module.errors().length > 0)) result.failed++
    }
    const results = [...suites.values()].toSorted((a, b) => a.suite.localeCompare(b.suite))
    if (results.length > 0) print(results)
    const total = (key: 'passed' | 'failed' | 'skipped') =>
      results.reduce((sum, suite) => sum + suite[key], 0)
    const counts = {
      passed: total('passed'),
      failed: total('failed') + unhandledErrors.length,
      skipped: total('skipped'),
    }
    mkdirSync('.cache', { recursive: true })
    writeFileSync('.cache/tests.json', `${JSON.stringify(counts)}\n`)
  }
}

function print(results: readonly SuiteResult[]): void {
  const width = Math.max(...results.map(({ suite }) => suite.length), 5)
  const row = (suite: string, tests: string, seconds: string, budget: string) =>
    console.log(
      `  ${suite.padEnd(width)}  ${tests.padStart(6)}  ${seconds.padStart(8)}  ${budget.padStart(7)}`,
    )
  row('suite', 'tests', 'seconds', 'budget')
  const warnings: string[] = []
  for (const { suite, passed, failed, skipped, seconds } of results) {
    const budget = budgetSeconds[suite] ?? defaultBudgetSeconds
    row(suite, String(passed + failed + skipped), seconds.toFixed(1), String(budget))
    if (seconds > budget)
      warnings.push(`warning: ${suite} took ${seconds.toFixed(1)} s, its budget is ${budget} s`)
  }
  for (const line of warnings) console.log(line)
}

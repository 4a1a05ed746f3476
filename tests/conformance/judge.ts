import type { RequiredScenario } from './cells.ts'
import type { ExpectedFailure } from './expected-failures.ts'

export interface Check {
  id: string
  status: string
  errorMessage?: string | undefined
}

/** Checks by scenario; a scenario that was not run is absent. */
export type Outcomes = ReadonlyMap<string, readonly Check[]>

export const didNotRun = 'did not run'

export interface Problem {
  /** `<scenario>:<check id>`, or `<scenario>` if it did not get as far as a check. */
  id: string
  message: string
}

export interface Verdict {
  passed: number
  scored: number
  /** Of the scenarios that are required beyond the scored ones. */
  alsoPassed: number
  alsoRequired: number
  expected: ExpectedFailure[]
  unexpected: Problem[]
  stale: string[]
}

/**
 * Compares what a cell's scenarios reported with what is expected of it. Stricter than the suite, which ignores
 * warnings: here a warning is a failure, and a scenario in which nothing succeeded has not passed.
 */
export function judge(
  scored: readonly string[],
  alsoRequired: readonly RequiredScenario[],
  outcomes: Outcomes,
  expectations: readonly ExpectedFailure[],
): Verdict {
  const required = [...scored.map((scenario) => ({ scenario, checks: [] })), ...alsoRequired]
  const problems = new Map(
    required.map((each) => [each.scenario, problemsOf(each, outcomes.get(each.scenario))]),
  )
  const all = [...problems.values()].flat()
  const passed = (scenario: string) => problems.get(scenario)?.length === 0

  return {
    passed: scored.filter(passed).length,
    scored: scored.length,
    alsoPassed: alsoRequired.filter(({ scenario }) => passed(scenario)).length,
    alsoRequired: alsoRequired.length,
    expected: expectations.filter((expectation) => all.some((problem) => covers(expectation, problem))),
    unexpected: all.filter((problem) => !expectations.some((expectation) => covers(expectation, problem))),
    stale: expectations
      .filter((expectation) => problems.has(scenarioOf(expectation.id)))
      .filter((expectation) => !all.some((problem) => covers(expectation, problem)))
      .map((expectation) => expectation.id),
  }
}

function problemsOf(
  { scenario, checks: mustSucceed }: RequiredScenario,
  checks: readonly Check[] | undefined,
): Problem[] {
  if (checks === undefined) return [{ id: scenario, message: didNotRun }]
  const failed = checks.filter(({ status }) => status === 'FAILURE' || status === 'WARNING')
  const problems = failed.map(({ id, status, errorMessage }) => ({
    id: `${scenario}:${id}`,
    message: `${status.toLowerCase()}: ${errorMessage ?? 'no message'}`,
  }))
  if (!checks.some(({ status }) => status === 'SUCCESS')) {
    problems.push({ id: scenario, message: 'nothing was checked' })
  }
  for (const id of mustSucceed) {
    const seen = checks.filter((check) => check.id === id).map(({ status }) => status)
    if (seen.every((status) => status !== 'SUCCESS' && status !== 'FAILURE' && status !== 'WARNING')) {
      problems.push({
        id: `${scenario}:${id}`,
        message: `was not exercised (${seen.join(', ') || 'absent'})`,
      })
    }
  }
  return problems
}

function covers(expectation: ExpectedFailure, problem: Problem): boolean {
  return expectation.id === problem.id || expectation.id === scenarioOf(problem.id)
}

function scenarioOf(id: string): string {
  return id.split(':', 1)[0] ?? id
}

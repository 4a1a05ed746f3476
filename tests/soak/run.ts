// npm run soak [-- --minutes N]: leak and race tests that run for a while. Exit code 1 if anything is wrong.
import { parseArgs } from 'node:util'
import { cancelRace } from './cancel-race.ts'
import { childRestarts } from './child-restarts.ts'
import { sessionChurn } from './session-churn.ts'

/** Runs until `until` (milliseconds, as of `performance.now()`); throws if anything is wrong. Returns what it has done. */
export type SoakTest = (until: number) => Promise<string>

const tests: Readonly<Record<string, SoakTest>> = {
  'session churn': sessionChurn,
  'child restarts': childRestarts,
  'cancellation races': cancelRace,
}

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '3' }, only: { type: 'string' } },
})
const minutes = Number(values.minutes)
if (!(minutes > 0 && minutes <= 24 * 60)) {
  process.stderr.write(`--minutes ${values.minutes}: expected a number of minutes above 0\n`)
  process.exit(2)
}
const chosen = Object.entries(tests).filter(([name]) => name.includes(values.only ?? ''))
if (chosen.length === 0) {
  process.stderr.write(`--only ${values.only}: expected one of ${Object.keys(tests).join(', ')}\n`)
  process.exit(2)
}

let failed = 0
for (const [name, test] of chosen) {
  process.stdout.write(`${name}: running for ${((minutes * 60) / chosen.length).toFixed(0)} s\n`)
  try {
    const done = await test(performance.now() + (minutes * 60_000) / chosen.length)
    process.stdout.write(`ok   ${name}: ${done}\n`)
  } catch (error) {
    failed++
    process.stdout.write(`FAIL ${name}: ${error instanceof Error ? error.message : String(error)}\n`)
  }
}
process.stdout.write(`${chosen.length - failed} passed, ${failed} failed\n`)
process.exit(failed === 0 ? 0 : 1)

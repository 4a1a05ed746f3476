import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Area } from './areas/area.ts'
import { gatewayArea } from './areas/gateway.ts'
import { createBench } from './measure/bench.ts'
import type { Row } from './measure/rows.ts'
import { rowTable } from './measure/tables.ts'
import { profilePath } from './profile.ts'

const areas: readonly Area[] = [gatewayArea]

const usage = `usage: npm run bench -- [--only AREA] [--rounds N] [--seconds N] [--quick]
       npm run bench -- --profile PATH [--connections N] [--seconds N]

  --only AREA      one of: ${areas.map(({ name }) => name).join(', ')}
  --rounds N       how often every cell is measured (5)
  --seconds N      how long a cell is measured (3)
  --quick          2 rounds of 1 second: does it work, not how fast
  --profile PATH   profile sallyport, sallyport.stdio, sallyport.aggregated, sallyport.modern, bare-proxy or a peer
  --connections N  for --profile (16)`

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    profile: { type: 'string' },
    connections: { type: 'string', default: '16' },
    help: { type: 'boolean', default: false },
  },
})
const print = (text: string) => void process.stdout.write(`${text}\n`)
const report = (line: string) => void process.stderr.write(`# ${line}\n`)

if (values.help) print(usage)
else process.exitCode = await main()
// What is still open now must not keep the command alive.
process.exit()

async function main(): Promise<number> {
  const chosen = areas.filter(({ name }) => values.only === undefined || name === values.only)
  const rounds = Number(values.rounds ?? (values.quick ? 2 : 5))
  const secondsPerCell = Number(values.seconds ?? (values.quick ? 1 : values.profile === undefined ? 3 : 5))
  if (chosen.length === 0 || !(rounds >= 1) || !(secondsPerCell > 0)) {
    process.stderr.write(`${usage}\n`)
    return 2
  }
  const bench = createBench({ rounds, secondsPerCell, report })
  try {
    if (values.profile === undefined) {
      const rows: Row[] = []
      for (const area of chosen) rows.push(...(await area.run(bench, print)))
      print(`\n${rowTable(rows)}`)
      writeFileSync(join(import.meta.dirname, 'results.json'), `${JSON.stringify(rows, undefined, 2)}\n`)
    } else {
      await profilePath({ bench, target: values.profile, connections: Number(values.connections), print })
    }
  } catch (error) {
    bench.addFault(error instanceof Error ? (error.stack ?? error.message) : String(error))
  } finally {
    await bench.stop()
  }
  // A missed bar is a figure to read, not a failure; a path that did not run or a wrong answer is one.
  for (const fault of bench.faults) process.stderr.write(`fault: ${fault}\n`)
  return bench.faults.length > 0 ? 1 : 0
}

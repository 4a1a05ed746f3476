import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isRecord } from '../load/answer-check.ts'
import type { Section } from './section.ts'

const restarts = 2_000
const program = join(import.meta.dirname, '..', '..', 'tests', 'soak', 'restart-figures.ts')

/** The soak test of a stdio server that ends again and again, in a process of its own. */
export const childRestarts: Section = {
  rows: [
    {
      id: 'gateway.restarts-rss',
      what: 'growth of resident memory over 2,000 restarts of a stdio server (slope × restarts)',
      unit: 'MB',
      bar: { atMost: 5 },
    },
    {
      id: 'gateway.restarts.processes',
      what: 'child processes more after them than before, all servers ended',
      unit: 'processes',
      bar: { atMost: 0 },
    },
    {
      id: 'gateway.restarts.files',
      what: 'open files more after them than before (clients reconnect now and then)',
      unit: 'files',
      bar: { atMost: 8 },
    },
  ],
  async run({ bench, print }) {
    bench.report(`${restarts} restarts of a stdio server`)
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--conditions=@sallyport/source', program, String(restarts)],
      { timeout: 600_000 },
    )
    const figures: unknown = JSON.parse(stdout)
    if (!isRecord(figures)) throw new Error(`${program} did not print its figures`)
    print(`\n${restarts} restarts of a stdio server: ${JSON.stringify(figures)}`)
    const slope = Number(figures.residentBytesPerRestart)
    return {
      'gateway.restarts-rss': [(slope * restarts) / 1e6],
      'gateway.restarts.processes': [Number(figures.processesAtEnd) - Number(figures.processesAtBegin)],
      'gateway.restarts.files': [Number(figures.openFilesAtEnd) - Number(figures.openFilesAtBegin)],
    }
  },
}

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { describeRun, readResults, type Results, writeResults } from '../measure/results.ts'
import { row } from '../measure/rows.ts'
import { allSections } from '../sections/all-sections.ts'

const results: Results = {
  startedAt: '2026-11-24T10:00:00.000Z',
  minutes: 17.2,
  command: 'npm run bench',
  machine: { processor: 'A CPU', cores: 2, memoryGigabytes: 24, system: 'Linux 6.1', node: 'v24.21.0' },
  rounds: 5,
  secondsPerCell: 3,
  strangersCores: 0.12,
  rows: [row({ id: 'a.b', what: 'what', unit: '×', bar: { atLeast: 1 } }, [1, 2, 3])],
  faults: [],
}

it('says when, where and how the rows were measured', () => {
  expect(describeRun(results)).toBe(
    '`npm run bench`, 2026-11-24, 17.2 minutes: 5 rounds, 3 s a cell; 2 cores (A CPU), 24 GB, Linux 6.1, Node 24.21.0, strangers used at most 0.12 cores',
  )
})

it('can be read again, and nothing else can', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-results-'))
  try {
    const file = join(folder, 'results.json')
    writeResults(file, results)
    expect(readResults(file)).toEqual(results)
    writeFileSync(file, '[]')
    expect(() => readResults(file)).toThrow('does not hold the results')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

it('has an id of its own for every row', () => {
  const ids = allSections.flatMap(({ rows }) => rows.map(({ id }) => id))
  expect(new Set(ids).size).toBe(ids.length)
})

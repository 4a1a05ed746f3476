import { describe, expect, it } from 'vitest'
import type { LoadReport } from '../load/load-window.ts'
import { perRound, rateRatio, row } from '../measure/rows.ts'
import { markdownRowTable, rowTable } from '../measure/tables.ts'

function reportOf(callsPerSecond: number): LoadReport {
  return {
    calls: 1,
    callsPerSecond,
    errors: 0,
    problems: [],
    cpu: undefined,
    p50Ms: 1,
    p95Ms: 1,
    p99Ms: 1,
    maxMs: 1,
  }
}

describe('rows', () => {
  it('compare inside a round, with the better of several, and show the median', () => {
    const reports = new Map([
      ['us', [100, 30, 60].map(reportOf)],
      ['one', [10, 10, 30].map(reportOf)],
      ['other', [20, 5, 10].map(reportOf)],
    ])
    const values = perRound(reports, 'us', ['one', 'other'], rateRatio)
    expect(values).toEqual([5, 3, 2])
    const definition = { id: 'area.row', what: 'what', unit: '×' }
    expect(row({ ...definition, bar: { atLeast: 3 } }, values)).toEqual({
      ...definition,
      value: 3,
      min: 2,
      max: 5,
      values: [5, 3, 2],
      bar: '≥ 3',
      ok: true,
    })
    expect(row({ ...definition, bar: { atMost: 2.9 } }, values)).toMatchObject({ bar: '≤ 2.9', ok: false })
    expect(row(definition, values)).toMatchObject({ bar: null, ok: null })
  })

  it('are missed when there is nothing to compare with', () => {
    const reports = new Map([['us', [reportOf(100)]]])
    const values = perRound(reports, 'us', ['absent'], rateRatio)
    expect(row({ id: 'a.b', what: '', unit: '×', bar: { atLeast: 1 } }, values)).toMatchObject({
      value: null,
      min: null,
      ok: false,
    })
  })

  it('leave out what is not a number', () => {
    expect(row({ id: 'a.b', what: '', unit: '×' }, [Number.NaN, 2])).toMatchObject({ value: 2, values: [2] })
  })
})

describe('the table', () => {
  const rows = [
    row({ id: 'a.kept', what: 'one', unit: '×', bar: { atLeast: 1 } }, [1.5, 1, 2]),
    row({ id: 'a.missed', what: 'two', unit: 'ms', bar: { atMost: 1 } }, [3]),
    row({ id: 'a.shown', what: 'three', unit: 'MB' }, []),
  ]

  it('says of each row what was measured, its bar, and whether that is kept', () => {
    expect(rowTable(rows).split('\n')).toEqual([
      'row       measured (min–max)  bar          what',
      'a.kept    1.5 (1–2) ×         ≥ 1  ok      one',
      'a.missed  3 ms                ≤ 1  MISSED  two',
      'a.shown   not measured                     three',
    ])
  })

  it('is the same in Markdown', () => {
    expect(markdownRowTable(rows).split('\n')).toEqual([
      '| row | measured (min–max) | bar |  | what |',
      '| --- | --- | --- | --- | --- |',
      '| `a.kept` | 1.5 (1–2) × | ≥ 1 | ok | one |',
      '| `a.missed` | 3 ms | ≤ 1 | MISSED | two |',
      '| `a.shown` | not measured |  |  | three |',
    ])
  })
})

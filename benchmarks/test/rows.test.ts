import { describe, expect, it } from 'vitest'
import type { LoadReport } from '../load/load-window.ts'
import { perRound, rateRatio, row } from '../measure/rows.ts'

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
    const options = { id: 'area.row', what: 'what', unit: '×', values }
    expect(row({ ...options, bar: { atLeast: 3 } })).toEqual({
      id: 'area.row',
      what: 'what',
      value: 3,
      unit: '×',
      bar: '≥ 3',
      ok: true,
    })
    expect(row({ ...options, bar: { atMost: 2.9 } })).toMatchObject({ bar: '≤ 2.9', ok: false })
    expect(row(options)).toMatchObject({ bar: null, ok: null })
  })

  it('are missed when there is nothing to compare with', () => {
    const reports = new Map([['us', [reportOf(100)]]])
    const values = perRound(reports, 'us', ['absent'], rateRatio)
    expect(row({ id: 'a.b', what: '', unit: '×', values, bar: { atLeast: 1 } })).toMatchObject({
      value: null,
      ok: false,
    })
  })
})

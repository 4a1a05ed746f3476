import { describe, expect, it } from 'vitest'
import { type Check, judge } from './judge.ts'

const ok: Check[] = [
  { id: 'a', status: 'SUCCESS' },
  { id: 'b', status: 'INFO' },
]
const failing: Check[] = [
  { id: 'a', status: 'SUCCESS' },
  { id: 'b', status: 'FAILURE', errorMessage: 'broken' },
]
const because = { reason: 'cannot', spec: 'somewhere' }

describe('judge', () => {
  it('counts a scenario as passed when something succeeded and nothing failed', () => {
    const verdict = judge(
      ['one', 'two'],
      [],
      new Map([
        ['one', ok],
        ['two', failing],
      ]),
      [],
    )
    expect(verdict).toMatchObject({ passed: 1, scored: 2, stale: [] })
    expect(verdict.unexpected).toEqual([{ id: 'two:b', message: 'failure: broken' }])
  })

  it('takes a warning for a failure', () => {
    const verdict = judge(['one'], [], new Map([['one', [...ok, { id: 'c', status: 'WARNING' }]]]), [])
    expect(verdict.unexpected.map(({ id }) => id)).toEqual(['one:c'])
  })

  it('does not pass a scenario that did not run or that checked nothing', () => {
    const verdict = judge(['absent', 'idle'], [], new Map([['idle', [{ id: 'a', status: 'INFO' }]]]), [])
    expect(verdict.passed).toBe(0)
    expect(verdict.unexpected.map(({ id }) => id)).toEqual(['absent', 'idle'])
  })

  it('accepts what is expected to fail, as a scenario or as a single check', () => {
    const outcomes = new Map([['one', failing]])
    for (const id of ['one', 'one:b']) {
      const verdict = judge(['one'], [], outcomes, [{ id, ...because }])
      expect(verdict).toMatchObject({ passed: 0, unexpected: [], stale: [], expected: [{ id }] })
    }
  })

  it('reports an expectation that passes, and another check of the same scenario that fails', () => {
    const verdict = judge(['one'], [], new Map([['one', failing]]), [{ id: 'one:a', ...because }])
    expect(verdict.stale).toEqual(['one:a'])
    expect(verdict.unexpected.map(({ id }) => id)).toEqual(['one:b'])
  })

  it('does not call an expectation stale when its scenario is not part of the run', () => {
    expect(judge(['one'], [], new Map([['one', ok]]), [{ id: 'two', ...because }]).stale).toEqual([])
  })

  it('demands that the named checks of a required scenario were exercised', () => {
    const required = [{ scenario: 'one', checks: ['a', 'b', 'c'] }]
    const verdict = judge([], required, new Map([['one', ok]]), [])
    expect(verdict).toMatchObject({ alsoPassed: 0, alsoRequired: 1 })
    expect(verdict.unexpected).toEqual([
      { id: 'one:b', message: 'was not exercised (INFO)' },
      { id: 'one:c', message: 'was not exercised (absent)' },
    ])
  })
})

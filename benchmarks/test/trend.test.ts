import { describe, expect, it } from 'vitest'
import { slopeOf } from '../load/trend.ts'

describe('slopeOf', () => {
  it('is that of the line, whatever a few points do', () => {
    const line = Array.from({ length: 11 }, (_, x) => ({ x, y: 7 + 2 * x }))
    expect(slopeOf(line)).toBe(2)
    const withPeaks = line.map(({ x, y }) => ({ x, y: x === 3 || x === 8 ? y + 1_000 : y }))
    expect(slopeOf(withPeaks)).toBe(2)
  })

  it('of a sawtooth is close to none', () => {
    const sawtooth = Array.from({ length: 40 }, (_, x) => ({ x, y: 100 + (x % 5) }))
    expect(Math.abs(slopeOf(sawtooth))).toBeLessThan(0.05)
  })

  it('of one point is not a number', () => {
    expect(slopeOf([{ x: 1, y: 1 }])).toBeNaN()
    expect(slopeOf([])).toBeNaN()
  })
})

import { describe, expect, it } from 'vitest'
import { Latencies, median, percentile } from '../load/latencies.ts'

describe('percentile', () => {
  const oneToHundred = Array.from({ length: 100 }, (_, index) => index + 1)

  it('is the nearest rank', () => {
    expect(percentile(oneToHundred, 50)).toBe(50)
    expect(percentile(oneToHundred, 95)).toBe(95)
    expect(percentile(oneToHundred, 99)).toBe(99)
    expect(percentile(oneToHundred, 100)).toBe(100)
    expect(percentile([15, 20, 35, 40, 50], 40)).toBe(20)
    expect(percentile([15, 20, 35, 40, 50], 41)).toBe(35)
  })

  it('of a single value is that value, of none is not a number', () => {
    expect(percentile([7], 1)).toBe(7)
    expect(percentile([7], 99)).toBe(7)
    expect(percentile([], 50)).toBeNaN()
  })
})

describe('Latencies', () => {
  it('keeps every value, sorted as numbers, beyond its first allocation', () => {
    const latencies = new Latencies()
    const count = 200_000
    for (let value = count; value > 0; value--) latencies.record(value)
    expect(latencies.count).toBe(count)
    expect(latencies.summarise()).toEqual({ p50Ms: 100_000, p95Ms: 190_000, p99Ms: 198_000, maxMs: 200_000 })
  })
})

describe('median', () => {
  it('is the middle, or the mean of the two middle ones', () => {
    expect(median([10, 9, 100])).toBe(10)
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(median([])).toBeNaN()
  })
})

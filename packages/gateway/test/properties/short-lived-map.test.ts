import { array, assert as holds, constantFrom, integer, property, record } from 'fast-check'
import { expect, test } from 'vitest'
import { ShortLivedMap } from '../../src/short-lived-map.ts'

const step = record({
  act: constantFrom('set', 'set', 'delete', 'clear'),
  key: integer({ min: 0, max: 150 }),
})

test('does what a Map does, with few entries and with many', () => {
  holds(
    property(array(step, { maxLength: 600 }), (steps) => {
      const map = new Map<number, number>()
      const short = new ShortLivedMap<number, number>()
      for (const [index, { act, key }] of steps.entries()) {
        if (act === 'set') {
          map.set(key, index)
          short.set(key, index)
        } else if (act === 'delete') expect(short.delete(key)).toBe(map.delete(key))
        else if (index % 7 === 0) {
          map.clear()
          short.clear()
        }
        expect([short.size, short.has(key), short.get(key)]).toEqual([map.size, map.has(key), map.get(key)])
      }
      const byKey = ([a]: [number, number], [b]: [number, number]) => a - b
      expect(short.entries().toSorted(byKey)).toEqual([...map].toSorted(byKey))
      expect(short.keys()).toEqual(short.entries().map(([key]) => key))
      expect(short.values()).toEqual(short.entries().map(([, value]) => value))
    }),
    { numRuns: 200 },
  )
})

test('may be changed while it is iterated over', () => {
  const short = new ShortLivedMap<number, string>()
  for (let key = 0; key < 200; key++) short.set(key, `${key}`)
  const seen: number[] = []
  for (const [key] of short.entries()) {
    seen.push(key)
    short.delete(key)
  }
  expect(seen).toHaveLength(200)
  expect(short.size).toBe(0)
})

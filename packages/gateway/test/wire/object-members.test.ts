import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { objectMembers, withoutMembers } from '../../src/wire/object-members.ts'
import { splice } from '../../src/wire/splice.ts'

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1')
}

describe('the members of an object', () => {
  test('are found with their places, whatever stands around and inside', () => {
    const text = latin1('x{ "a" : [1, {"}": "]"}] , "\\u00e4\\"" :"z}" ,"n":1.50e3\n, "o":{}}y')
    const found = objectMembers(text, 1)?.map(({ name, valueStart, valueEnd }) => [
      name,
      text.slice(valueStart, valueEnd),
    ])
    expect(found).toEqual([
      ['a', '[1, {"}": "]"}]'],
      [latin1('ä"'), '"z}"'],
      ['n', '1.50e3'],
      ['o', '{}'],
    ])
  })

  test.each(['', '[]', '"{}"', '{"a"', '{"a":', '{"a":1', '{"a":1,,}', '{"a":[}', '{"a', '{a:1}'])(
    'of %j are not made up',
    (text) => {
      expect(objectMembers(text, 0)).toBeUndefined()
    },
  )

  test('can be taken out, and what is left is the object without them', () => {
    const value = fc.jsonValue({ maxDepth: 2 })
    const object = fc.dictionary(fc.string({ unit: 'grapheme' }), value, { maxKeys: 6 })
    fc.assert(
      fc.property(object, fc.func(fc.boolean()), fc.integer({ min: 0, max: 2 }), (given, drops, indent) => {
        const bytes = Buffer.from(JSON.stringify(given, undefined, indent))
        const members = objectMembers(bytes.toString('latin1'), 0) ?? []
        expect(members.map(({ name }) => name)).toEqual(Object.keys(given).map(latin1))
        const left = splice(bytes, ...withoutMembers(members, ({ name }) => drops(name)))
        const kept = Object.entries(given).filter(([name]) => !drops(latin1(name)))
        expect(JSON.parse(left.toString())).toEqual(JSON.parse(JSON.stringify(Object.fromEntries(kept))))
      }),
      { numRuns: 500 },
    )
  })
})

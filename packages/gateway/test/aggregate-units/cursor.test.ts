import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CursorSeal } from '../../src/aggregate/cursor.ts'

const seal = new CursorSeal(Buffer.alloc(32, 7))
const position = fc.record({ server: fc.string({ unit: 'binary' }), cursor: fc.string({ unit: 'binary' }) })
const binding = (subject: string, method: string) => JSON.stringify([subject, method])

describe('a cursor', () => {
  test('leads its owner back, in the list it was made for, whatever the server wrote', () => {
    fc.assert(
      fc.property(position, fc.string(), (where, owner) => {
        expect(seal.open(seal.seal(where, owner), owner)).toEqual(where)
      }),
    )
  })

  test('opens for nobody else and in no other list', () => {
    const cursor = seal.seal({ server: 's', cursor: '' }, binding('ada', 'tools/list'))
    expect(seal.open(cursor, binding('ada', 'tools/list'))).toEqual({ server: 's', cursor: '' })
    expect(seal.open(cursor, binding('bob', 'tools/list'))).toBeUndefined()
    expect(seal.open(cursor, binding('ada', 'prompts/list'))).toBeUndefined()
    expect(seal.open(cursor, '')).toBeUndefined()
    expect(new CursorSeal().open(cursor, binding('ada', 'tools/list'))).toBeUndefined()
  })

  test('does not let what it is bound to and what it says run into each other', () => {
    fc.assert(
      fc.property(position, fc.string(), fc.string(), (where, owner, more) => {
        const cursor = Buffer.from(seal.seal(where, owner), 'base64url')
        const moved = Buffer.concat([cursor.subarray(0, 16), Buffer.from(more), cursor.subarray(16)])
        if (more !== '') expect(seal.open(moved.toString('base64url'), owner)).toBeUndefined()
        if (more !== '') expect(seal.open(cursor.toString('base64url'), owner + more)).toBeUndefined()
      }),
    )
  })

  test('opens as it was written and in no other spelling', () => {
    const owner = binding('ada', 'tools/list')
    const flip = fc.record({ at: fc.nat(), to: fc.constantFrom(...'AQgwz09-_=!. \n') })
    fc.assert(
      fc.property(position, flip, ({ server, cursor: own }, { at, to }) => {
        const cursor = seal.seal({ server, cursor: own }, owner)
        const place = at % (cursor.length + 1)
        for (const changed of [
          cursor.slice(0, place) + to + cursor.slice(place + 1),
          cursor.slice(0, place) + to + cursor.slice(place),
          cursor.slice(0, place),
        ]) {
          if (changed !== cursor) expect(seal.open(changed, owner)).toBeUndefined()
        }
      }),
      { numRuns: 300 },
    )
  })

  test.each(['', 'x', '=', 'AAAAAAAAAAAAAAAAAAAAAA', 'W10', '\u{1f600}', 'A'.repeat(100_000)])(
    '%j is none',
    (text) => {
      expect(seal.open(text, '')).toBeUndefined()
    },
  )
})

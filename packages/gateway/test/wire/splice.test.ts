import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Edit, splice } from '../../src/wire/splice.ts'

/** Cuts the source at random places into kept and replaced pieces, so that what has to come out is known. */
const cases = fc
  .array(
    fc.tuple(
      fc.uint8Array({ maxLength: 5 }),
      fc.uint8Array({ maxLength: 5 }),
      fc.oneof(fc.string({ unit: 'binary', maxLength: 4 }), fc.uint8Array({ maxLength: 4 })),
    ),
    { maxLength: 6 },
  )
  .map((pieces) => {
    const source: Uint8Array[] = []
    const result: Uint8Array[] = []
    const edits: Edit[] = []
    let position = 0
    for (const [kept, replaced, text] of pieces) {
      source.push(kept, replaced)
      result.push(kept, typeof text === 'string' ? Buffer.from(text) : text)
      edits.push([position + kept.length, position + kept.length + replaced.length, text])
      position += kept.length + replaced.length
    }
    return { source: Buffer.concat(source), expected: Buffer.concat(result), edits }
  })

test('replaces what the edits name and keeps the rest, in whatever order they are given', () => {
  fc.assert(
    fc.property(cases, fc.infiniteStream(fc.nat()), ({ source, expected, edits }, random) => {
      const before = Buffer.from(source)
      expect(splice(source, ...edits)).toEqual(expected)
      // two insertions at one place stay in the order in which they were given, so only places are shuffled
      const apart = edits.filter((edit, index) => edits.findIndex((other) => other[0] === edit[0]) === index)
      const shuffled = apart
        .map((edit) => ({ edit, rank: random.next().value }))
        .toSorted((one, other) => one.rank - other.rank)
        .map(({ edit }) => edit)
      expect(splice(source, ...shuffled)).toEqual(splice(source, ...apart))
      expect(source).toEqual(before)
    }),
  )
})

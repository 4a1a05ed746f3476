import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LineSplitter } from '../../src/wire/line-splitter.ts'

interface Outcome {
  readonly lines: readonly string[]
  readonly failed: boolean
}

function split(chunks: readonly Buffer[], maxLineBytes = 1_000_000): Outcome {
  const lines: string[] = []
  const splitter = new LineSplitter((line) => lines.push(line.toString('latin1')), maxLineBytes)
  try {
    for (const chunk of chunks) splitter.push(chunk)
    return { lines, failed: false }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return { lines, failed: true }
  }
}

const text = fc
  .array(fc.tuple(fc.string({ unit: 'binary', maxLength: 8 }), fc.constantFrom('\n', '\r\n', '\n\n', '')), {
    maxLength: 10,
  })
  .map((parts) => Buffer.from(parts.flat().join('')))
const lengths = fc.array(fc.integer({ min: 0, max: 6 }))

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  let position = 0
  for (const length of at) {
    chunks.push(bytes.subarray(position, position + length))
    position += length
  }
  return [...chunks, bytes.subarray(position)]
}

test('any cutting gives the lines of the whole', () => {
  fc.assert(
    fc.property(text, lengths, (bytes, at) => {
      const complete = bytes.toString('latin1').split('\n').slice(0, -1)
      const expected = complete.map((line) => line.replace(/\r$/, '')).filter((line) => line !== '')
      expect(split(cut(bytes, at))).toEqual({ lines: expected, failed: false })
    }),
    { numRuns: 250 },
  )
})

test('any cutting finds the same line too long', () => {
  fc.assert(
    fc.property(text, lengths, (bytes, at) => {
      expect(split(cut(bytes, at), 6)).toEqual(split([bytes], 6))
    }),
    { numRuns: 250 },
  )
})

test('a line that does not end is not collected beyond the limit', () => {
  const endless = Array.from({ length: 100 }, () => Buffer.alloc(100, 'x'))
  expect(split(endless, 1_000).failed).toBe(true)
  expect(split([Buffer.alloc(1_001, 'x'), Buffer.from('\n')], 1_000).failed).toBe(true)
  expect(split([Buffer.alloc(1_000, 'x'), Buffer.from('\n')], 1_000).lines).toHaveLength(1)
})

test('many lines in one chunk count one by one', () => {
  expect(split([Buffer.from('12345\n'.repeat(1_000))], 10).lines).toHaveLength(1_000)
})

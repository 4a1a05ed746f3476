import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeHeaderValue, encodeHeaderValue } from '../../src/wire/header-value.ts'

test.each([
  ['us-west1', 'us-west1'],
  ['', ''],
  ['Hello, 世界', '=?base64?SGVsbG8sIOS4lueVjA==?='],
  [' padded ', '=?base64?IHBhZGRlZCA=?='],
  ['line1\nline2', '=?base64?bGluZTEKbGluZTI=?='],
  ['=?base64?literal?=', '=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?='],
  ['=?base64?open', '=?base64?open'],
  ['closed?=', 'closed?='],
  ['\t', '=?base64?CQ==?='],
  ['a\tb', 'a\tb'],
])('%j travels as %j (the examples of the specification, and their borders)', (value, header) => {
  expect(encodeHeaderValue(value)).toBe(header)
  expect(decodeHeaderValue(header)).toBe(value)
})

test('every well-formed text survives, as a value that HTTP can carry', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 12 }),
        fc.string({ unit: 'binary-ascii', maxLength: 12 }),
        fc.string({ maxLength: 12 }).map((text) => `=?base64?${text}?=`),
      ),
      (value) => {
        const header = encodeHeaderValue(value)
        expect(header).toMatch(/^(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?$/)
        expect(decodeHeaderValue(header)).toBe(value)
      },
    ),
    { numRuns: 250 },
  )
})

test.each([
  '=?base64?SGVsbG8?=',
  '=?base64?SGVs!!!bG8=?=',
  '=?base64?SGVsbG8==?=',
  '=?base64? SGVsbG8=?=',
  '=?base64?SGVsbG9=?=',
  '=?base64?SGVs-_8=?=',
  '=?base64?gICA?=',
  '=?base64?7aCA?=',
])('%j is not what it claims to be', (header) => {
  expect(decodeHeaderValue(header)).toBeUndefined()
})

test.each(['=?BASE64?SGVsbG8=?=', '=?base64?SGVsbG8=', 'SGVsbG8=?=', '=?base64?='])(
  '%j is plain text',
  (header) => {
    expect(decodeHeaderValue(header)).toBe(header)
  },
)

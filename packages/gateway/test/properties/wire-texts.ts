import fc from 'fast-check'

/** A string in one of the many ways in which JSON can spell it. */
const stringText = fc
  .array(fc.tuple(fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), fc.boolean()), { maxLength: 8 })
  .map((units) => `"${units.map(([unit, escape]) => spelled(unit, escape)).join('')}"`)

const numberText = fc.oneof(
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.constantFrom(
    '0',
    '-0',
    '1e2',
    '1E+2',
    '0.10',
    '9007199254740993',
    '12345678901234567890123',
    '-1.50e-7',
  ),
)

/** A JSON-RPC id, or a progress token, as somebody may have written it down. */
export const idText: fc.Arbitrary<string> = fc.oneof(stringText, numberText)

/** Several of them that are different values, whatever their spelling. */
export function differentIds(minLength: number, maxLength: number): fc.Arbitrary<string[]> {
  return fc.uniqueArray(idText, {
    minLength,
    maxLength,
    selector: (text) => {
      const value: unknown = JSON.parse(text)
      return typeof value === 'number' ? value + 0 : value
    },
  })
}

function spelled(unit: string, escape: boolean): string {
  const [first, second] = [unit.charCodeAt(0), unit.length > 1 ? unit.charCodeAt(1) : undefined]
  const hex = (code: number) => `\\u${code.toString(16).padStart(4, '0')}`
  if (escape) return hex(first) + (second === undefined ? '' : hex(second))
  return JSON.stringify(unit).slice(1, -1)
}

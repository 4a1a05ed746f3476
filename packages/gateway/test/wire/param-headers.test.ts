import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { paramHeaderFault, paramHeadersFor, scanParamHeaders } from '../../src/wire/param-headers.ts'

const object = (properties: object, more: object = {}) => ({ type: 'object', properties, ...more })
const annotated = (header: unknown, type: unknown = 'string') => ({ type, 'x-mcp-header': header })

/** Name and value in turn, as an object. */
function pairs(headers: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    headers.flatMap((name, at) => (at % 2 === 0 ? [[name, headers[at + 1] ?? '']] : [])),
  )
}

function scanned(schema: unknown) {
  const { headers, fault } = scanParamHeaders(schema)
  if (headers === undefined) throw new Error(fault)
  return headers
}

describe('the annotations of a tool', () => {
  test('are found wherever properties lead to them', () => {
    const schema = object({
      region: annotated('Region'),
      plain: { type: 'string' },
      where: object({
        zone: object({ id: annotated('Zone-Id', 'integer') }),
        dry: annotated('DRY', 'boolean'),
      }),
    })
    expect(scanned(schema)).toEqual(
      expect.arrayContaining([
        { header: 'mcp-param-region', path: ['region'], type: 'string' },
        { header: 'mcp-param-zone-id', path: ['where', 'zone', 'id'], type: 'integer' },
        { header: 'mcp-param-dry', path: ['where', 'dry'], type: 'boolean' },
      ]),
    )
    expect(scanned(schema)).toHaveLength(3)
  })

  test.each([
    ['nothing', undefined],
    ['a schema without any', object({ a: { type: 'string' } })],
    ['a property of that name', object({ 'x-mcp-header': { type: 'string' } })],
    ['data that looks like one', object({ a: { type: 'string', default: { 'x-mcp-header': '' } } })],
    ['a boolean schema', object({ a: true })],
  ])('%s: there are none', (_, schema) => {
    expect(scanned(schema)).toEqual([])
  })

  const name = (header: unknown) => object({ a: annotated(header) })
  test.each([
    ['an empty name', name('')],
    ['no text', name(7)],
    ['a space', name('My Region')],
    ['a colon', name('a:b')],
    ['a line break', name('a\r\nX-Evil')],
    ['a control character', name('a\u0001')],
    ['a letter that is not ASCII', name('Région')],
    ['two names that differ by case', object({ a: annotated('Id'), b: annotated('ID') })],
    ['an object', object({ a: annotated('A', 'object') })],
    ['an array', object({ a: annotated('A', 'array') })],
    ['null', object({ a: annotated('A', 'null') })],
    ['no type', object({ a: { 'x-mcp-header': 'A' } })],
    ['the root', { type: 'string', 'x-mcp-header': 'A' }],
    ['items', object({ a: { type: 'array', items: annotated('A') } })],
    ['an object inside items', object({ a: { type: 'array', items: object({ b: annotated('A') }) } })],
    ['oneOf', object({}, { oneOf: [object({ a: annotated('A') })] })],
    ['not', object({}, { not: object({ a: annotated('A') }) })],
    ['else', object({}, { if: {}, else: object({ a: annotated('A') }) })],
    ['$defs', object({ a: { $ref: '#/$defs/a' } }, { $defs: { a: annotated('A') } })],
    ['a pattern', object({}, { patternProperties: { '^a': annotated('A') } })],
    ['a keyword that nobody knows', object({}, { 'x-more': { a: annotated('A') } })],
  ])('%s: the tool is not valid', (_, schema) => {
    expect(scanParamHeaders(schema).fault).toEqual(expect.any(String))
  })

  test('schemas of any depth are read without a stack', () => {
    let schema: object = annotated('Deep')
    for (let depth = 0; depth < 100_000; depth++) schema = { properties: { a: schema } }
    expect(scanParamHeaders(schema).fault).toEqual(expect.any(String))
    const { headers } = scanParamHeaders({ properties: { a: object({ b: annotated('B') }) } })
    expect(headers).toHaveLength(1)
  })
})

describe('the headers of a call', () => {
  const annotations = scanned(
    object({
      region: annotated('Region'),
      count: annotated('Count', 'integer'),
      dry: annotated('Dry', 'boolean'),
      at: object({ x: annotated('X', 'number') }),
    }),
  )

  test.each([
    [{ region: 'us-west1' }, { 'mcp-param-region': 'us-west1' }],
    [{ region: 'Hello, 世界' }, { 'mcp-param-region': '=?base64?SGVsbG8sIOS4lueVjA==?=' }],
    [{ region: '' }, { 'mcp-param-region': '' }],
    [
      { count: 42, dry: false },
      { 'mcp-param-count': '42', 'mcp-param-dry': 'false' },
    ],
    [
      { count: -7, at: { x: 1.5 } },
      { 'mcp-param-count': '-7', 'mcp-param-x': '1.5' },
    ],
    [{ region: null, count: undefined, at: { y: 1 } }, {}],
    [{ region: { a: 1 }, count: [1], at: 'x' }, {}],
    [{ count: 2 ** 53 }, {}],
    [undefined, {}],
    ['text', {}],
    [JSON.parse('{"__proto__":{"region":"x"}}'), {}],
  ])('%j', (args, expected) => {
    expect(pairs(paramHeadersFor(annotations, args))).toEqual(expected)
  })

  const fault = (args: unknown, headers: Record<string, string>) =>
    paramHeaderFault(annotations, args, (header) => headers[header])

  test.each([
    [{ region: 'a' }, {}, /region header is missing/],
    [{ region: 'a' }, { 'mcp-param-region': 'b' }, /region header does not match/],
    [{ region: 'a' }, { 'mcp-param-region': '=?base64?!!?=' }, /not valid Base64/],
    [{}, { 'mcp-param-region': 'a' }, /does not match/],
    [{ region: null }, { 'mcp-param-region': 'null' }, /does not match/],
    [{ count: 26 }, { 'mcp-param-count': '0x1a' }, /does not match/],
    [{ count: 42 }, { 'mcp-param-count': '43' }, /does not match/],
    [{ dry: true }, { 'mcp-param-dry': 'True' }, /does not match/],
  ])('%j with %j is refused', (args, headers, expected) => {
    expect(fault(args, headers)).toMatch(expected)
  })

  test.each([
    [{}, {}],
    [{ region: 'a' }, { 'mcp-param-region': 'a', 'mcp-param-other': 'x' }],
    [{ region: 'ä' }, { 'mcp-param-region': '=?base64?w6Q=?=' }],
    [{ count: 42 }, { 'mcp-param-count': '42.0' }],
    [{ dry: false }, { 'mcp-param-dry': 'false' }],
  ])('%j with %j agrees', (args, headers) => {
    expect(fault(args, headers)).toBeUndefined()
  })

  test('what is computed agrees with what it was computed from', () => {
    const values = fc.record(
      {
        region: fc.oneof(fc.string({ unit: 'grapheme' }), fc.constant(null)),
        count: fc.integer(),
        dry: fc.boolean(),
        at: fc.oneof(fc.record({ x: fc.double({ noNaN: true, noDefaultInfinity: true }) }), fc.string()),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(values, (given) => {
        const args: unknown = JSON.parse(JSON.stringify(given))
        expect(fault(args, pairs(paramHeadersFor(annotations, args)))).toBeUndefined()
      }),
      { numRuns: 300 },
    )
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { idBytes, isFault, readMessage } from '../../src/wire/client-message.ts'
import { repeatedMember } from '../../src/wire/repeated-member.ts'
import { type JsonText, jsonText, objectWith } from './json-text.ts'

const read = (text: string, maxDepth = 64) => readMessage(Buffer.from(text), maxDepth)

describe('readMessage', () => {
  const legal = fc.oneof(
    fc.integer().map(String),
    fc.double({ noNaN: true }).map((value) => (Number.isFinite(value) ? JSON.stringify(value) : '1e999')),
    fc.string({ unit: 'binary' }).map((text) => JSON.stringify(text)),
    fc.constantFrom('-0', '1.50', '"\\u0041"', '123456789012345678901234567890'),
  )

  test('takes every legal id and keeps how it was written', () => {
    fc.assert(
      fc.property(
        legal,
        fc.constantFrom(
          '{"jsonrpc":"2.0","id":ID,"method":"m"}',
          '{"method":"m", "id" :\nID\t,"jsonrpc":"2.0"}',
          '{"jsonrpc":"2.0","id":ID,"result":1}',
        ),
        (id, frame) => {
          const message = read(frame.replace('ID', () => id))
          if (isFault(message)) throw new Error(message.message)
          expect(idBytes(message).toString()).toBe(id)
          expect(message.id).toEqual(JSON.parse(id))
        },
      ),
    )
  })

  test('refuses every other id', () => {
    fc.assert(
      fc.property(jsonText, ({ text }) => {
        const value: unknown = JSON.parse(text)
        fc.pre(typeof value !== 'string' && typeof value !== 'number')
        expect(isFault(read(`{"jsonrpc":"2.0","id":${text},"method":"m"}`))).toBe(true)
      }),
    )
  })

  test('what it takes is what JSON.parse understands, and it never throws', () => {
    const message = objectWith({
      jsonrpc: fc.constant({ text: '"2.0"', depth: 0 }),
      id: fc.oneof(
        legal.map((text) => ({ text, depth: 0 })),
        jsonText,
      ),
      method: fc.oneof(fc.constant({ text: '"m"', depth: 0 }), jsonText),
      params: fc.oneof(objectWith({ name: jsonText }), jsonText),
      result: jsonText,
      error: jsonText,
    })
    let taken = 0
    fc.assert(
      fc.property(message, ({ text }) => {
        const found = read(text)
        if (isFault(found)) {
          expect([-32700, -32600]).toContain(found.code)
          return
        }
        taken++
        const value: unknown = JSON.parse(text)
        const { id, kind } = found
        const hasMethod = typeof value === 'object' && value !== null && 'method' in value
        if (hasMethod) expect(value.method).toBe(found.method)
        expect(kind).toBe(hasMethod ? (id === undefined ? 'notification' : 'request') : 'response')
        if (typeof value === 'object' && value !== null && 'params' in value && hasMethod)
          expect(found.params).toEqual(value.params)
      }),
      { numRuns: 250 },
    )
    expect(taken).toBeGreaterThan(0)
  })

  test('any bytes are a message or a fault', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => void readMessage(Buffer.from(bytes), 64)),
    )
  })

  test('depth is counted to the level', () => {
    const nested = (levels: number) =>
      `{"jsonrpc":"2.0","method":"m","params":{"a":${'['.repeat(levels)}${']'.repeat(levels)}}}`
    expect(isFault(read(nested(8), 10))).toBe(false)
    expect(isFault(read(nested(9), 10))).toBe(true)
  })
})

describe('repeatedMember', () => {
  const countNames = (text: string) => text.match(/"(?:[^"\\]|\\.)*"\s*:/g)?.length ?? 0
  const countMembers = (value: unknown): number => {
    if (typeof value !== 'object' || value === null) return 0
    const own = Array.isArray(value) ? 0 : Object.keys(value).length
    return Object.values(value).reduce<number>((sum, it) => sum + countMembers(it), own)
  }
  const repeats = ({ members = [] }: JsonText): boolean =>
    new Set(members.map(([name]) => name)).size < members.length ||
    members.some(([, value]) => repeats(value))
  const tree: fc.Arbitrary<JsonText> = objectWith({
    a: objectWith({ b: objectWith({ c: jsonText, é: jsonText }), a: jsonText }),
    é: objectWith({ a: jsonText }),
  })

  test('finds a name that occurs twice, at any depth, and only such', () => {
    fc.assert(
      fc.property(tree, (written) => {
        // values from `jsonText` may hold repetitions that the description does not show
        if (repeats(written)) expect(repeatedMember(written.text)).toBeDefined()
        const kept: unknown = JSON.parse(written.text)
        if (repeatedMember(written.text) === undefined)
          expect(countMembers(kept)).toBe(countNames(written.text))
      }),
      { numRuns: 250 },
    )
  })

  test.each([
    ['{"a":1,"b":{"a":1}}', undefined],
    ['{"a":[{"b":1},{"b":1}]}', undefined],
    ['{"a":"b\\"","b":":"}', undefined],
    ['{"a":{"x":1,"\\u0078":2}}', 'x'],
    ['[{"a":1,"a" :2}]', 'a'],
    ['{"__proto__":1,"__proto__":2}', '__proto__'],
    ['{"\\"":1,"\\u0022":2}', '"'],
  ])('%s: %s', (text, expected) => {
    expect(repeatedMember(text)).toBe(expected)
  })
})

describe('names that differ by case from those that are read', () => {
  const message = (method: string, params: string, more = '') =>
    read(`{"jsonrpc":"2.0","id":1,"method":"${method}","params":${params}${more}}`)

  test.each([
    ['next to it', message('tools/call', '{"name":"a","Name":"b"}')],
    ['alone', message('tools/call', '{"NAME":"b"}')],
    ['escaped', message('tools/call', '{"name":"a","n\\u0041me":"b"}')],
    ['with the Kelvin sign', message('tools/call', '{"_meta":{"progressTo\u212aen":1}}')],
    ['with the long s', message('tools/call', '{"argument\u017f":{}}')],
    ['in the message', message('tools/call', '{}', ',"Method":"resources/read"')],
    ['in the message, with the long s', message('tools/call', '{}', ',"param\u017f":{}')],
    ['in _meta', message('tools/call', '{"_meta":{"ProgressToken":1}}')],
    [
      'in a notification',
      read('{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"RequestId":1}}'),
    ],
    ['in a method of somebody else, where both are there', message('x/y', '{"uri":"a","URI":"b"}')],
  ])('are refused: %s', (_, found) => {
    expect(found).toMatchObject({ code: -32600, message: expect.stringContaining('case only') })
  })

  test.each([
    ['arguments of a tool', message('tools/call', '{"name":"a","arguments":{"Name":1,"name":2}}')],
    ['other names', message('tools/call', '{"name":"a","title":"B","Names":1}')],
    ['methods of somebody else', message('x/y', '{"URI":"b"}')],
    ['members of a result', read('{"jsonrpc":"2.0","id":1,"result":{"Name":1,"name":2}}')],
  ])('are no business of the gateway in %s', (_, found) => {
    expect(isFault(found)).toBe(false)
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type MessageScan, scanArray, scanMessage } from '../../src/wire/scan-message.ts'
import { type JsonText, jsonText, nameText, objectWith } from './json-text.ts'

const subscriptionKey = 'io.modelcontextprotocol/subscriptionId'
const paramsMeta = objectWith({ progressToken: jsonText, [subscriptionKey]: jsonText })
const params = objectWith({
  name: jsonText,
  uri: jsonText,
  requestId: jsonText,
  progressToken: jsonText,
  _meta: fc.oneof(paramsMeta, paramsMeta, jsonText),
})
const resultMeta = objectWith({ [subscriptionKey]: jsonText })
const result = objectWith({
  isError: fc.oneof(
    fc.constantFrom('true', 'false').map((text) => ({ text, depth: 0 })),
    jsonText,
  ),
  _meta: fc.oneof(resultMeta, jsonText),
})
const message = objectWith({
  id: jsonText,
  method: jsonText,
  params: fc.oneof(params, params, jsonText),
  result: fc.oneof(result, result, jsonText),
  error: jsonText,
})

function scan(text: string): { found: MessageScan | undefined; bytes: Buffer } {
  const bytes = Buffer.from(text)
  return { found: scanMessage(bytes.toString('latin1')), bytes }
}

function valueAt(bytes: Buffer, start: number, end: number): unknown {
  return start < 0 ? undefined : JSON.parse(bytes.toString('utf8', start, end))
}

function memberOf(value: unknown, ...path: string[]): unknown {
  let current = value
  for (const name of path) {
    if (typeof current !== 'object' || current === null || Array.isArray(current)) return undefined
    current = Object.getOwnPropertyDescriptor(current, name)?.value
  }
  return current
}

/** First name that an object on the scanned path holds twice, by the order of the text. */
function expectedDuplicate(message: JsonText): boolean {
  const twice = ({ members = [] }: JsonText) => new Set(members.map(([name]) => name)).size < members.length
  const inner = (of: JsonText, name: string) =>
    (of.members ?? []).flatMap(([key, value]) => (key === name ? [value] : []))
  const watched = ['params', 'result'].flatMap((name) => inner(message, name))
  return [message, ...watched, ...watched.flatMap((it) => inner(it, '_meta'))].some(twice)
}

describe('scanMessage, against JSON.parse', () => {
  test('finds every part at the place where its value stands', () => {
    fc.assert(
      fc.property(message, ({ text }) => {
        const { found, bytes } = scan(text)
        const value: unknown = JSON.parse(text)
        if (found === undefined) throw new Error('not scanned')
        if (found.duplicate !== undefined) return
        const part = (start: number, end: number) => valueAt(bytes, start, end)
        expect(part(found.idStart, found.idEnd)).toEqual(memberOf(value, 'id'))
        expect(part(found.methodStart, found.methodEnd)).toEqual(memberOf(value, 'method'))
        expect(part(found.paramsStart, found.paramsEnd)).toEqual(memberOf(value, 'params'))
        expect(part(found.resultStart, found.resultEnd)).toEqual(memberOf(value, 'result'))
        expect(part(found.errorStart, found.errorEnd)).toEqual(memberOf(value, 'error'))
        expect(part(found.nameStart, found.nameEnd)).toEqual(memberOf(value, 'params', 'name'))
        expect(part(found.uriStart, found.uriEnd)).toEqual(memberOf(value, 'params', 'uri'))
        expect(part(found.requestIdStart, found.requestIdEnd)).toEqual(memberOf(value, 'params', 'requestId'))
        expect(part(found.progressStart, found.progressEnd)).toEqual(
          memberOf(value, 'params', 'progressToken'),
        )
        expect(part(found.tokenStart, found.tokenEnd)).toEqual(
          memberOf(value, 'params', '_meta', 'progressToken'),
        )
        const subscriptions = ['params', 'result'].flatMap((name) => {
          const id = memberOf(value, name, '_meta', subscriptionKey)
          return id === undefined ? [] : [id]
        })
        const subscription = part(found.subscriptionStart, found.subscriptionEnd)
        if (subscriptions.length === 0) expect(subscription).toBeUndefined()
        else expect(subscriptions).toContainEqual(subscription)
        expect(found.isError).toBe(memberOf(value, 'result', 'isError') === true)
      }),
      { numRuns: 250 },
    )
  })

  test('sees a repeated name exactly where there is one, and the depth', () => {
    fc.assert(
      fc.property(message, (written) => {
        const { found } = scan(written.text)
        expect(found?.duplicate !== undefined).toBe(expectedDuplicate(written))
        expect(found?.depth).toBe(written.depth)
      }),
      { numRuns: 250 },
    )
  })

  test('two spellings of one name are one name, whatever letters it has', () => {
    const name = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 4 }),
      fc.constantFrom('é', 'Ã©', '\u{1f600}', 'a'),
    )
    fc.assert(
      fc.property(
        fc
          .tuple(name, name)
          .chain(([one, other]) => fc.tuple(fc.constant(one === other), nameText(one), nameText(other))),
        ([same, one, other]) => {
          expect(scan(`{${one}:1,${other}:2}`).found?.duplicate !== undefined).toBe(same)
        },
      ),
      { numRuns: 250 },
    )
  })

  test('a repeated name is found among many', () => {
    const members = Array.from({ length: 40 }, (_, index) => `"m${index}":${index}`)
    expect(scan(`{${members.join(',')}}`).found?.duplicate).toBeUndefined()
    for (const again of [0, 15, 16, 17, 39]) {
      expect(scan(`{${members.join(',')},"m${again}":0}`).found?.duplicate).toBe(`m${again}`)
    }
  })

  test.each([
    ['', undefined],
    ['[]', undefined],
    ['"x"', undefined],
    ['{', undefined],
    ['{"a"', undefined],
    ['{"a":', undefined],
    ['{"a":1', undefined],
    ['{"a":"', undefined],
    ['{"a":{"b":"}', undefined],
    ['{"a":1,', undefined],
    ['{"a":1}x', undefined],
    ['{a:1}', undefined],
    ['{"a" 1}', undefined],
    ['{"a":}', undefined],
  ])('%j is no message', (text, expected) => {
    expect(scanMessage(text)).toBe(expected)
  })

  test('never fails on text that is cut off or damaged', () => {
    fc.assert(
      fc.property(
        message,
        fc.nat(),
        fc.string({ unit: 'binary-ascii', maxLength: 2 }),
        ({ text }, at, noise) => {
          const place = at % (text.length + 1)
          scan(text.slice(0, place))
          scan(text.slice(0, place) + noise + text.slice(place + 1))
        },
      ),
      { numRuns: 250 },
    )
  })

  test('time grows with the length, not with its square', () => {
    const million = 1_000_000
    const hostile = [
      `{"a":"${'\\\\'.repeat(million)}"}`,
      `{"a":"${'\\"'.repeat(million)}"}`,
      `{"a":${'['.repeat(million)}${']'.repeat(million)}}`,
      `{"a":"${'\\\\'.repeat(million)}`,
      `{${Array.from({ length: 100_000 }, (_, index) => `"k${index}":0`).join(',')}}`,
    ]
    const startedAt = performance.now()
    for (const text of hostile) scanMessage(text)
    expect(performance.now() - startedAt).toBeLessThan(3_000)
  })
})

describe('scanArray, against JSON.parse', () => {
  test('cuts an array into its elements', () => {
    fc.assert(
      fc.property(fc.array(jsonText, { maxLength: 6 }), fc.constantFrom('', ' ', '\n\t'), (items, gap) => {
        const text = `${gap}[${gap}${items.map((item) => item.text).join(`${gap},${gap}`)}${gap}]${gap}`
        const bytes = Buffer.from(text)
        const elements = scanArray(bytes.toString('latin1'))
        expect(elements?.map(([start, end]) => valueAt(bytes, start, end))).toEqual(JSON.parse(text))
      }),
      { numRuns: 250 },
    )
  })

  test.each(['[', '["', '[1', '[[]', '[{"a":"]}'])('%j is none', (text) => {
    expect(scanArray(text)).toBeUndefined()
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type SseEvent, SseParser, sseEvent } from '../../src/wire/sse-parser.ts'

interface Seen {
  readonly type: string
  readonly data: string
  readonly id: string | undefined
  readonly retryMs: number | undefined
}

function parse(chunks: readonly (string | Buffer)[], maxEventBytes = 1_000_000): Seen[] {
  const seen: Seen[] = []
  const note = ({ type, data, id, retryMs }: SseEvent) =>
    seen.push({ type, data: data.toString(), id, retryMs })
  const parser = new SseParser(note, maxEventBytes)
  for (const chunk of chunks) parser.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
  return seen
}

function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  let position = 0
  for (const length of lengths) {
    chunks.push(bytes.subarray(position, position + length))
    position += length
  }
  return [...chunks, bytes.subarray(position)]
}

const message = (data: string) => ({ type: 'message', data, id: undefined, retryMs: undefined })

describe('what a stream may hold', () => {
  test.each([
    ['line feeds', 'data: a\n\n', [message('a')]],
    ['carriage returns', 'data: a\r\r', [message('a')]],
    ['both', 'data: a\r\n\r\n', [message('a')]],
    ['a mixture', 'data: a\rdata: b\ndata: c\r\n\r', [message('a\nb\nc')]],
    ['no blank behind the colon', 'data:a\n\n', [message('a')]],
    ['one of two blanks is kept', 'data:  a\n\n', [message(' a')]],
    ['a field without a colon', 'data\n\n', [message('')]],
    ['many lines', 'data: a\ndata:\ndata: b\n\n', [message('a\n\nb')]],
    ['comments', ': hello\ndata: a\n:\n\n:\n\n', [message('a')]],
    ['other fields', 'what: x\ndata: a\nDATA: b\n\n', [message('a')]],
    [
      'a type',
      'event: endpoint\ndata: /x\n\ndata: y\n\n',
      [{ ...message('/x'), type: 'endpoint' }, message('y')],
    ],
    ['a type alone', 'event: endpoint\n\ndata: y\n\n', [message('y')]],
    ['an id alone', 'id: 1_0\ndata: \n\n', [{ ...message(''), id: '1_0' }]],
    ['an id with NUL', 'id: a\0b\ndata: x\n\n', [message('x')]],
    ['a time to wait', 'retry: 250\n\n', [{ ...message(''), retryMs: 250 }]],
    ['a time that is none', 'retry: 2.5\nretry: -1\nretry: x\ndata: a\n\n', [message('a')]],
    ['a byte order mark', '\ufeffdata: a\n\n', [message('a')]],
    ['a second byte order mark', '\ufeff\ufeffdata: a\n\ndata: b\n\n', [message('b')]],
    ['what is not complete', 'data: a\n\ndata: b\n', [message('a')]],
    ['characters of several bytes', 'data: 世界\n\n', [message('世界')]],
  ])('%s', (_, text, expected) => {
    const bytes = Buffer.from(text)
    expect(parse([bytes])).toEqual(expected)
    expect(parse(Array.from(bytes, (byte) => Buffer.from([byte])))).toEqual(expected)
  })

  test('an event is there as soon as its last byte is', () => {
    for (const end of ['\n', '\r', '\r\n']) expect(parse([`data: a${end}${end}`])).toHaveLength(1)
  })

  test('the line feed of a CRLF that was cut in two ends no second line', () => {
    expect(parse(['data: a\r', '\ndata: b\r', '\n\r', '\n'])).toEqual([message('a\nb')])
  })
})

const line = fc.oneof(
  fc.constantFrom(
    '',
    '',
    'data',
    'data:',
    ':',
    ': c',
    'id: 7',
    'id',
    'event: e',
    'retry: 10',
    '\ufeffdata: z',
  ),
  fc.string({ unit: 'binary', maxLength: 6 }).map((text) => `data: ${text.replaceAll(/[\r\n]/g, '')}`),
)
const stream = fc
  .array(fc.tuple(line, fc.constantFrom('\n', '\r', '\r\n')), { maxLength: 12 })
  .map((lines) => Buffer.from(lines.map(([text, end]) => text + end).join('')))

test('any cutting gives the same events', () => {
  fc.assert(
    fc.property(stream, fc.boolean(), fc.array(fc.integer({ min: 0, max: 5 })), (body, marked, lengths) => {
      const bytes = marked ? Buffer.concat([Buffer.from('\ufeff'), body]) : body
      expect(parse(cut(bytes, lengths))).toEqual(parse([bytes]))
    }),
    { numRuns: 250 },
  )
})

test('any cutting finds the same event too large', () => {
  const outcome = (chunks: readonly Buffer[]) => {
    const seen: string[] = []
    try {
      const parser = new SseParser((event) => seen.push(event.data.toString()), 12)
      for (const chunk of chunks) parser.push(chunk)
      return { seen, failed: false }
    } catch (error) {
      return { seen, failed: error instanceof RangeError }
    }
  }
  fc.assert(
    fc.property(stream, fc.array(fc.integer({ min: 0, max: 5 })), (bytes, lengths) => {
      expect(outcome(cut(bytes, lengths))).toEqual(outcome([bytes]))
    }),
    { numRuns: 250 },
  )
})

describe('limits', () => {
  const limit = 1_000
  test('many small events in one chunk are no large event', () => {
    expect(parse(['data: x\n\n'.repeat(1_000)], limit)).toHaveLength(1_000)
  })

  test.each([
    ['one line', 'x'],
    ['many lines', 'data: xxxxxxxx\n'],
    ['many empty lines', 'data\n'],
    ['a line without end', 'data: '],
  ])('%s without end', (_, piece) => {
    const endless = Array.from({ length: limit }, () => piece.repeat(4))
    expect(() => parse(endless, limit)).toThrow(RangeError)
  })

  test('lines are counted too', () => {
    expect(() =>
      parse(
        Array.from({ length: 110 }, () => 'data\n'.repeat(1_000)),
        64_000_000,
      ),
    ).toThrow(RangeError)
    expect(parse([`${'data\n'.repeat(90_000)}\n`], 64_000_000)).toHaveLength(1)
  })

  test('a large event in small pieces is put together in reasonable time', () => {
    const pieces = ['data: ', ...Array.from({ length: 20_000 }, () => 'x'.repeat(500)), '\n\n']
    const startedAt = performance.now()
    expect(parse(pieces, 20_000_000)[0]?.data).toHaveLength(10_000_000)
    expect(performance.now() - startedAt).toBeLessThan(3_000)
  })
})

describe('sseEvent', () => {
  test('is read back as it was written, on one data line', () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(undefined, '1_1'), fc.boolean(), (json, id, pretty) => {
        const data = Buffer.from(pretty ? JSON.stringify(JSON.parse(json), null, 2) : json)
        const written = sseEvent(data, id)
        expect(written.toString().match(/^data: /gm)).toHaveLength(1)
        const [event] = parse([written])
        expect(event?.id).toBe(id)
        expect(JSON.parse(event?.data ?? '')).toEqual(JSON.parse(json))
      }),
    )
  })
})

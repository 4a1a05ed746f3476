import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isFault, isRecord, readMessage } from '../../src/wire/client-message.ts'
import { scanMessage } from '../../src/wire/scan-message.ts'
import { jsonText, objectWith } from '../wire/json-text.ts'

const message = objectWith({
  jsonrpc: fc.constant({ text: '"2.0"', depth: 0 }),
  id: jsonText,
  method: fc.constantFrom('"tools/call"', '"ping"', '1').map((text) => ({ text, depth: 0 })),
  params: objectWith({ name: jsonText, _meta: jsonText }),
  result: jsonText,
})

/** Bytes of every sort: noise, JSON, JSON with noise in it, JSON that is cut off. */
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((it) => Buffer.from(it)),
  fc.json().map((it) => Buffer.from(it)),
  message.map(({ text }) => Buffer.from(text)),
  fc
    .tuple(message, fc.nat(), fc.uint8Array({ maxLength: 3 }), fc.nat({ max: 4 }))
    .map(([{ text }, at, noise, less]) => {
      const whole = Buffer.from(text)
      const place = at % (whole.length + 1)
      return Buffer.concat([whole.subarray(0, place), noise, whole.subarray(place + less)])
    }),
)

function parsed(source: Buffer): unknown {
  try {
    return JSON.parse(source.toString())
  } catch {
    return undefined
  }
}

test('the scanner never throws, and of valid JSON it takes the objects and nothing else', () => {
  fc.assert(
    fc.property(bytes, (source) => {
      const scan = scanMessage(source.toString('latin1'))
      const value = isUtf8(source) ? parsed(source) : undefined
      if (value === undefined) return
      expect(scan !== undefined).toBe(isRecord(value))
      if (scan === undefined || !isRecord(value) || scan.duplicate !== undefined) return
      const part = (start: number, end: number): unknown =>
        start < 0 ? undefined : JSON.parse(source.toString('utf8', start, end))
      expect([part(scan.idStart, scan.idEnd), part(scan.methodStart, scan.methodEnd)]).toEqual([
        Object.getOwnPropertyDescriptor(value, 'id')?.value,
        Object.getOwnPropertyDescriptor(value, 'method')?.value,
      ])
    }),
    { numRuns: 2_000 },
  )
})

test('what is taken for a message says the same to every reader', () => {
  fc.assert(
    fc.property(bytes, (source) => {
      const read = readMessage(source, 128)
      if (isFault(read)) return
      const value = parsed(source)
      if (!isRecord(value)) throw new Error('taken, but no object')
      expect(value['jsonrpc']).toBe('2.0')
      expect(read.id).toEqual(value['id'])
      expect(read.method).toBe(value['method'] ?? '')
      expect(read.params).toEqual(read.kind === 'response' ? {} : (value['params'] ?? {}))
    }),
    { numRuns: 2_000 },
  )
})

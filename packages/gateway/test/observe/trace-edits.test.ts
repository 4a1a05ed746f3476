import fc from 'fast-check'
import { expect, test } from 'vitest'
import { scanMessage } from '../../src/wire/scan-message.ts'
import { splice } from '../../src/wire/splice.ts'
import { traceEdits } from '../../src/wire/trace-edits.ts'
import { jsonText, objectWith } from '../wire/json-text.ts'

const trace = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: 'v="1"' }

const message = objectWith({
  id: jsonText,
  params: objectWith({
    name: jsonText,
    _meta: fc.oneof(
      objectWith({ traceparent: jsonText, tracestate: jsonText, progressToken: jsonText }),
      jsonText,
    ),
  }),
})

test('a trace context is put into any request, and nothing else changes', () => {
  fc.assert(
    fc.property(message, ({ text }) => {
      const source = Buffer.from(`{"jsonrpc":"2.0","method":"tools/call",${text.trimStart().slice(1)}`)
      if (!isJson(source)) return
      const scan = scanMessage(source.toString('latin1'))
      if (scan === undefined || scan.duplicate !== undefined) return
      const edited: Message = JSON.parse(splice(source, ...traceEdits(source, scan, trace)).toString())
      const before: Message = JSON.parse(source.toString())
      const params = before.params ?? {}
      const meta = params['_meta'] ?? {}
      const isObject = typeof meta === 'object' && meta !== null && !Array.isArray(meta)
      if (!isObject || params['_meta'] === null) expect(edited).toEqual(before)
      else expect(edited).toEqual({ ...before, params: { ...params, _meta: { ...meta, ...trace } } })
    }),
    { numRuns: 1_000 },
  )
})

interface Message {
  readonly params?: Readonly<Record<string, unknown>>
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString())
    return true
  } catch {
    return false
  }
}

import { expect, test } from 'vitest'
import { InternalCall } from '../../src/call/internal-call.ts'
import { legacyRequest } from '../../src/translate/modern-on-legacy/legacy-request.ts'
import { traceEdits } from '../../src/wire/trace-edits.ts'
import { modernMeta } from '../flow/raw-client.ts'

const context = {
  principal: { tenant: 't', subject: 's', roles: [], scopes: [] },
  era: 'modern' as const,
  protocolVersion: '2026-07-28',
}
const trace = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }

test.each([
  ['nothing but the envelope', modernMeta],
  ['an older trace', { ...modernMeta, traceparent: 'old', kept: 1 }],
  ['the envelope last', { kept: 1, ...modernMeta }],
])('a trace that telemetry writes into _meta survives beside %s', (_what, meta) => {
  const call = new InternalCall('s', context, 'tools/call', { name: 'n', _meta: meta }, [], () => {})
  const { bytes } = legacyRequest(
    { ...call, ...fieldsOf(call), edits: traceEdits(call.bytes, call.scan, trace) },
    7,
  )
  expect(JSON.parse(bytes.toString())).toEqual({
    jsonrpc: '2.0',
    id: 7,
    method: 'tools/call',
    params: { name: 'n', _meta: { ...('kept' in meta && { kept: 1 }), ...trace } },
  })
})

/** A call without its methods' receiver: only what is read here. */
function fieldsOf(call: InternalCall) {
  return {
    interim: () => call.interim(),
    final: () => {},
    fail: () => {},
    pause: () => call.pause(),
  }
}

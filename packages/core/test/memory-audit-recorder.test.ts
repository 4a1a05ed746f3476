import { describe, expect, it } from 'vitest'
import type { AuditTicket, CallIntent } from '../src/index.ts'
import { createMemoryAuditRecorder } from '../src/memory/index.ts'

const intent = (target: string): CallIntent => ({
  at: 1,
  from: 'client',
  kind: 'request',
  method: 'tools/call',
  target,
  bytes: 10,
})
const ok = { status: 'ok', durationMs: 2, bytes: 20 } as const

function begin(recorder: { begin(intent: CallIntent): AuditTicket | Promise<AuditTicket> }, target: string) {
  const ticket = recorder.begin(intent(target))
  if (ticket instanceof Promise) throw new TypeError('in memory nothing has to be waited for')
  return ticket
}

describe('createMemoryAuditRecorder', () => {
  it('keeps the newest entries, oldest first', () => {
    const recorder = createMemoryAuditRecorder({ capacity: 3 })
    for (const target of ['a', 'b', 'c', 'd', 'e']) void begin(recorder, target).end(ok)
    expect(recorder.entries().map((entry) => entry.intent.target)).toEqual(['c', 'd', 'e'])
  })

  it('does not give the outcome of an entry that is gone to the one in its place', () => {
    const recorder = createMemoryAuditRecorder({ capacity: 1 })
    const gone = begin(recorder, 'a')
    begin(recorder, 'b')
    void gone.end({ ...ok, status: 'failed' })
    expect(recorder.entries()).toEqual([{ intent: intent('b'), outcome: undefined }])
  })

  it('returns entries that do not change any more', () => {
    const recorder = createMemoryAuditRecorder({ capacity: 1 })
    const ticket = begin(recorder, 'a')
    const [before] = recorder.entries()
    void ticket.end(ok)
    begin(recorder, 'b')
    expect(before).toEqual({ intent: intent('a'), outcome: undefined })
  })

  it('leaves nothing of an earlier entry in its slot', () => {
    const recorder = createMemoryAuditRecorder({ capacity: 1 })
    const principal = { tenant: 't', subject: 's', roles: [], scopes: [] }
    void recorder.begin({ ...intent('a'), principal, requestId: 7, sessionId: 'x', server: 'y' })
    void begin(recorder, 'b').end(ok)
    expect(recorder.entries()).toEqual([{ intent: intent('b'), outcome: ok }])
  })
})

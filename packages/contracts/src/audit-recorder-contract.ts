import assert from 'node:assert/strict'
import type { AuditRecorder, CallIntent, CallOutcome } from '@sallyport/core'
import { type ContractCase, casesFor } from './contract-case.ts'

export interface AuditRecorderSubject {
  readonly recorder: AuditRecorder
  /** What is recorded, oldest first. */
  entries(): Entries | Promise<Entries>
  close?(): void | Promise<void>
}

type Entries = readonly { readonly intent: CallIntent; readonly outcome?: CallOutcome | undefined }[]

/**
 * The contract of `AuditRecorder`.
 * @param options.open a recorder without entries
 * @param options.openDead a recorder whose backend is dead, if it can be had: then `begin` has to fail, not to forget
 */
export function auditRecorderContract(options: {
  open(): AuditRecorderSubject | Promise<AuditRecorderSubject>
  openDead?(): AuditRecorder | Promise<AuditRecorder>
}): ContractCase[] {
  const { openDead } = options
  const cases = casesFor(() => options.open(), checks)
  if (openDead === undefined) return cases
  return [
    ...cases,
    {
      name: 'begin fails when nothing can be recorded',
      async run() {
        const recorder = await openDead()
        await assert.rejects(async () => recorder.begin(intent()))
      },
    },
  ]
}

const outcome: CallOutcome = { status: 'ok', durationMs: 1.5, bytes: 20 }

function intent(more: Partial<CallIntent> = {}): CallIntent {
  return { at: 1_800_000_000_000, from: 'client', kind: 'request', method: 'tools/call', bytes: 10, ...more }
}

const checks: Record<string, (subject: AuditRecorderSubject) => Promise<void>> = {
  async 'an intent is recorded before its outcome is known'({ recorder, entries }) {
    await recorder.begin(intent({ requestId: 1 }))
    const recorded = await entries()
    assert.equal(recorded.length, 1)
    assert.deepEqual(recorded[0]?.intent, intent({ requestId: 1 }))
    assert.equal(recorded[0]?.outcome, undefined)
  },

  async 'an outcome joins its intent'({ recorder, entries }) {
    const ticket = await recorder.begin(intent({ requestId: 1 }))
    await ticket.end(outcome)
    assert.deepEqual(plain(await entries()), [{ intent: intent({ requestId: 1 }), outcome }])
  },

  async 'entries stand in the order of their beginning'({ recorder, entries }) {
    for (let n = 0; n < 100; n++) await (await recorder.begin(intent({ requestId: n }))).end(outcome)
    assert.deepEqual(
      (await entries()).map((entry) => entry.intent.requestId),
      Array.from({ length: 100 }, (_, n) => n),
    )
  },

  async 'calls under way together do not get mixed up'({ recorder, entries }) {
    const tickets = await Promise.all(
      Array.from({ length: 50 }, async (_, n) => recorder.begin(intent({ requestId: n }))),
    )
    await Promise.all(tickets.map(async (ticket, n) => ticket.end({ ...outcome, bytes: n })).toReversed())
    for (const entry of await entries()) assert.equal(entry.outcome?.bytes, entry.intent.requestId)
  },

  async 'every field and every status comes back as it was'({ recorder, entries }) {
    const full = intent({
      from: 'server',
      kind: 'notification',
      principal: { tenant: 'acme', subject: 'ada', issuer: 'https://i.example', roles: ['r'], scopes: ['s'] },
      era: 'legacy',
      sessionId: 'session',
      remoteAddress: '::1',
      endpoint: 'files',
      server: 'files',
      target: 'naïve \u{1f511} "name"\n',
      requestId: '',
      trace: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', baggage: 'a=1' },
    })
    const statuses = ['ok', 'tool-error', 'error', 'refused', 'failed', 'cancelled'] as const
    for (const status of statuses)
      await (await recorder.begin(full)).end({ ...outcome, status, code: -32_601 })
    const recorded = plain(await entries())
    assert.deepEqual(
      recorded.map((entry) => entry.outcome?.status),
      [...statuses],
    )
    for (const entry of recorded) assert.deepEqual(entry.intent, full)
  },

  async 'what is recorded of a refused message may be very little'({ recorder, entries }) {
    const least: CallIntent = { at: 0, from: 'client', kind: 'invalid', bytes: 0 }
    await (await recorder.begin(least)).end({
      status: 'refused',
      code: 'ERR_PROTOCOL',
      durationMs: 0,
      bytes: 0,
    })
    assert.deepEqual(plain(await entries())[0]?.intent, least)
  },

  async 'an intent is not changed'({ recorder }) {
    const given = intent({ principal: Object.freeze({ tenant: 't', subject: 's', roles: [], scopes: [] }) })
    const ticket = await recorder.begin(Object.freeze(given))
    await ticket.end(Object.freeze({ ...outcome }))
  },
}

/** Only the fields of the port, without those that are `undefined`. */
function plain(entries: Entries): { intent: CallIntent; outcome: CallOutcome | undefined }[] {
  return entries.map((entry) => structuredClone({ intent: entry.intent, outcome: entry.outcome }))
}

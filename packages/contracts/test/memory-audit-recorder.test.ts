import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { expect, test } from 'vitest'
import { auditRecorderContract, failing } from '../src/index.ts'

const open = () => {
  const recorder = createMemoryAuditRecorder()
  return { recorder, entries: () => recorder.entries() }
}
const cases = auditRecorderContract({ open, openDead: () => failing(createMemoryAuditRecorder()) })
test.each(cases)('$name', async ({ run }) => expect(run()).resolves.toBeUndefined())

test('the newest entries are kept', async () => {
  const recorder = createMemoryAuditRecorder({ capacity: 3 })
  for (let at = 0; at < 10; at++) await recorder.begin({ at, from: 'client', kind: 'request', bytes: 0 })
  expect(recorder.entries().map((entry) => entry.intent.at)).toEqual([7, 8, 9])
})

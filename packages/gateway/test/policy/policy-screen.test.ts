import { silentLogger } from '@sallyport/core'
import { describe, expect, it } from 'vitest'
import { AuditTrail } from '../../src/call/audit-trail.ts'
import { Flow } from '../../src/call/flow.ts'
import { allow, deny } from '../../src/index.ts'
import { policyOf } from '../../src/policy/policy.ts'
import { PolicyGate } from '../../src/policy/policy-gate.ts'
import { PolicyScreen } from '../../src/policy/policy-screen.ts'
import { isFault, readMessage } from '../../src/wire/client-message.ts'
import { scanMessage } from '../../src/wire/scan-message.ts'

const MAX_KEPT_BYTES = 32 * 1024 * 1024

function listing(cursor: string): Flow {
  const text = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: { cursor } })
  const message = readMessage(Buffer.from(text), 64)
  if (isFault(message)) throw new Error(text)
  const principal = { tenant: 't', subject: 'eve', roles: [], scopes: [] }
  const reply = { interim() {}, final() {}, abandon() {}, pause() {}, annotate() {}, challenge() {} }
  const trail = new AuditTrail(undefined, silentLogger, () => 0)
  const flow = new Flow(message, { principal, era: 'modern', protocolVersion: '' }, reply, trail, [], [])
  flow.server = 's'
  return flow
}

describe('lists of one server under a policy', () => {
  it('are not kept without bounds, whatever cursors callers make up', () => {
    const rules = policyOf([allow({ servers: '*' }), deny({ tools: 's/tool1' })])
    const screen = new PolicyScreen(new PolicyGate(rules, silentLogger, () => {}))
    const tools = Array.from({ length: 10 }, (_, index) => ({
      name: `tool${index}`,
      description: 'd'.repeat(50_000),
      inputSchema: { type: 'object' },
    }))
    const answer = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, result: { tools } }))
    const scan = scanMessage(answer.toString('latin1'))
    if (scan === undefined) throw new Error('the answer is a message')
    let most = 0
    for (let index = 0; index < 60; index++) {
      const shown: unknown[] = []
      screen.screen(listing(`made up ${index}`), answer, scan, (it) =>
        shown.push(String(it).includes('"tool1"')),
      )
      expect(shown).toEqual([false])
      most = Math.max(most, screen.kept.bytes)
    }
    expect(most).toBeLessThanOrEqual(MAX_KEPT_BYTES)
    expect(screen.kept.pages).toBeGreaterThan(1)
  })
})

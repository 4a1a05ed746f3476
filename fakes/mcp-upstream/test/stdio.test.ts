import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { UpstreamEra } from '../src/index.ts'
import { mainFile } from './sdk-clients.ts'

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
}
const discover = { id: 1, method: 'server/discover', params: { _meta: meta } }
const initialize = {
  id: 2,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
}

/** Lines in, lines out: what the SDK's clients would hide. */
function startChild(era: UpstreamEra) {
  const child = spawn(process.execPath, [mainFile, '--stdio', '--era', era], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => {
    child.kill()
  })
  const received: unknown[] = []
  createInterface({ input: child.stdout }).on('line', (line) => received.push(JSON.parse(line)))
  return {
    received,
    send: (message: object) => child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`),
    expectMessage: (shape: object) =>
      vi.waitFor(() => expect(received).toContainEqual(expect.objectContaining(shape)), { timeout: 5000 }),
    async end() {
      child.stdin.end()
      const [code]: unknown[] = await once(child, 'exit')
      return code
    },
  }
}

describe('a stdio process', () => {
  it('of both eras serves a handshake after a probe, and ends when its input does', async () => {
    const child = startChild('dual')
    child.send(discover)
    await child.expectMessage({
      id: 1,
      result: expect.objectContaining({ supportedVersions: ['2026-07-28'] }),
    })
    child.send(initialize)
    await child.expectMessage({ id: 2, result: expect.objectContaining({ protocolVersion: '2025-11-25' }) })
    child.send({ id: 3, method: 'resources/subscribe', params: { uri: 'test://watched-resource' } })
    child.send({ id: 4, method: 'tools/call', params: { name: 'touch_resource' } })
    await child.expectMessage({ method: 'notifications/resources/updated' })
    expect(await child.end()).toBe(0)
  })

  it('of the legacy era knows no probe', async () => {
    const child = startChild('legacy')
    child.send(discover)
    await child.expectMessage({ id: 1, error: { code: -32601, message: 'Method not found' } })
    child.send(initialize)
    await child.expectMessage({ id: 2, result: expect.objectContaining({ protocolVersion: '2025-11-25' }) })
  })

  it('of the modern era knows no handshake', async () => {
    const child = startChild('modern')
    child.send(initialize)
    await child.expectMessage({ id: 2, error: expect.objectContaining({ code: -32022 }) })
    child.send(discover)
    await child.expectMessage({
      id: 1,
      result: expect.objectContaining({ supportedVersions: ['2026-07-28'] }),
    })
  })

  it('acknowledges a subscription under the id of its request, and stamps what follows', async () => {
    const child = startChild('modern')
    const params = { _meta: meta, notifications: { toolsListChanged: true } }
    child.send({ id: 'listen', method: 'subscriptions/listen', params })
    const stamped = { _meta: { 'io.modelcontextprotocol/subscriptionId': 'listen' } }
    await child.expectMessage({
      method: 'notifications/subscriptions/acknowledged',
      params: { notifications: { toolsListChanged: true }, ...stamped },
    })
    child.send({ id: 2, method: 'tools/call', params: { name: 'test_trigger_tool_change', _meta: meta } })
    await child.expectMessage({ method: 'notifications/tools/list_changed', params: stamped })
    expect(child.received).not.toContainEqual(expect.objectContaining({ id: 'listen' }))
  })
})

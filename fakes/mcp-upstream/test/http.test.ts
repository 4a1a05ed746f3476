import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type McpUpstream, startMcpUpstream } from '../src/index.ts'

let dual: McpUpstream
let legacy: McpUpstream
let modern: McpUpstream

beforeAll(async () => {
  dual = await startMcpUpstream()
  legacy = await startMcpUpstream({ era: 'legacy' })
  modern = await startMcpUpstream({ era: 'modern' })
})

afterAll(async () => {
  await dual.close()
  await legacy.close()
  await modern.close()
})

interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

/** `fetch` would not let a Host or an Origin through. */
function send(url: string, method: string, headers: Record<string, string>, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers }, (incoming) => {
      let text = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (chunk: string) => {
        text += chunk
      })
      incoming.on('end', () =>
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: text }),
      )
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

const json = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
const initialize = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
}

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
}
const discover = { jsonrpc: '2.0', id: 1, method: 'server/discover', params: { _meta: meta } }
const modernHeaders = { ...json, 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'server/discover' }

async function openSession(url: string, version = '2025-11-25'): Promise<Record<string, string>> {
  const params = { ...initialize.params, protocolVersion: version }
  const { headers, body } = await send(url, 'POST', json, JSON.stringify({ ...initialize, params }))
  expect(body).toContain(`"protocolVersion":"${version}"`)
  return { ...json, 'mcp-session-id': String(headers['mcp-session-id']), 'mcp-protocol-version': version }
}

describe('a request from elsewhere', () => {
  it.each([
    ['Host', { host: 'evil.example.com' }],
    ['Origin', { origin: 'http://evil.example.com' }],
  ])('is refused by its %s, before its body is looked at', async (_name, header) => {
    const answer = await send(dual.url, 'POST', { ...json, ...header }, 'not even JSON')
    expect(answer.status).toBe(403)
  })
})

describe('what is no MCP request', () => {
  it('is refused with the status that says why', async () => {
    expect((await send(dual.url, 'POST', json, '{')).status).toBe(400)
    expect((await send(`${dual.url}/other`, 'POST', json, '{}')).status).toBe(404)
    expect((await send(dual.url, 'POST', json, 'x'.repeat(17 * 1024 * 1024))).status).toBe(413)
  })
})

describe('legacy sessions', () => {
  it('do not exist before initialize nor after DELETE', async () => {
    const list = JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'tools/list' })
    expect((await send(dual.url, 'POST', json, list)).status).toBe(400)
    const session = await openSession(dual.url)
    expect((await send(dual.url, 'POST', session, list)).status).toBe(200)
    expect((await send(dual.url, 'DELETE', session)).status).toBe(200)
    expect((await send(dual.url, 'POST', session, list)).status).toBe(404)
  })

  it.each(['2025-06-18', '2025-03-26'])('speak %s', async (version) => {
    const session = await openSession(dual.url, version)
    const ping = JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'ping' })
    const { body } = await send(dual.url, 'POST', session, ping)
    // Older clients cannot read the empty event that makes a stream resumable from its start.
    expect(body).toMatch(/^event: message\nid: \S+\ndata: \{.*"id":2.*\}\n\n$/)
  })

  it('answer a batch in one stream', async () => {
    const session = await openSession(dual.url, '2025-03-26')
    const batch = [3, 'four'].map((id) => ({ jsonrpc: '2.0', id, method: 'ping' }))
    const { status, body } = await send(dual.url, 'POST', session, JSON.stringify(batch))
    expect(status).toBe(200)
    expect(body).toContain('"id":3')
    expect(body).toContain('"id":"four"')
  })

  it('resume a stream that was closed in the middle of a call', async () => {
    const session = await openSession(dual.url)
    const call = { jsonrpc: '2.0', id: 9, method: 'tools/call', params: { name: 'test_reconnection' } }
    const { body } = await send(dual.url, 'POST', session, JSON.stringify(call))
    expect(body).toMatch(/^id: \S+\nretry: 250\ndata: \n\n$/)
    const lastEventId = /^id: (\S+)/.exec(body)?.[1] ?? ''
    const resumed = await send(dual.url, 'GET', { ...session, 'last-event-id': lastEventId })
    expect(resumed.body).toContain('"id":9')
    expect(resumed.body).toContain('answered after the stream had been closed')
  })
})

describe('a server of one era', () => {
  it('legacy: answers a modern probe as published legacy servers do', async () => {
    const { status, body } = await send(legacy.url, 'POST', modernHeaders, JSON.stringify(discover))
    expect(status).toBe(400)
    expect(JSON.parse(body)).toMatchObject({ id: null, error: { code: -32000 } })
  })

  it('modern: names its revision to a client that shakes hands', async () => {
    const { status, body } = await send(modern.url, 'POST', json, JSON.stringify(initialize))
    expect(status).toBe(400)
    expect(JSON.parse(body)).toMatchObject({ error: { code: -32022, data: { supported: ['2026-07-28'] } } })
  })

  it('dual: answers both on one endpoint', async () => {
    expect((await send(dual.url, 'POST', modernHeaders, JSON.stringify(discover))).status).toBe(200)
    expect((await send(dual.url, 'POST', json, JSON.stringify(initialize))).status).toBe(200)
  })
})

import { Agent, request } from 'node:http'
import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { send } from './client.ts'
import { collectingLogger, type RunningGateway, startGateway } from './gateway.ts'
import { callTool, initialize, jsonHeaders, type LegacySession, modern, openSession } from './messages.ts'
import { type HandmadeUpstream, startHandmade } from './upstream.ts'

/** Requests in one go, and how often: 2,000 in all. */
const TOGETHER = 8
const ROUNDS = 250
/** Longer than any answer may take; a request that is still open then hangs. */
const LIMIT_MS = 5_000

let modernServer: HandmadeUpstream
let legacyServer: HandmadeUpstream
let running: RunningGateway
let session: LegacySession
let whole: LegacySession
const audit = createMemoryAuditRecorder({ capacity: 100_000 })
const logger = collectingLogger()
const agent = new Agent({ keepAlive: true, maxSockets: TOGETHER })

beforeAll(async () => {
  modernServer = await startHandmade()
  legacyServer = await startHandmade({ era: 'legacy' })
  running = await startGateway({
    servers: { m: { url: modernServer.url }, l: { url: legacyServer.url } },
    audit,
    logger,
    limits: { bodyBytes: 20_000 },
  })
  await running.gateway.ready()
  session = await openSession(running.at('l'))
  whole = await openSession(running.url, { version: '2025-03-26' })
})
afterAll(async () => {
  agent.destroy()
  await running.close()
  await modernServer.close()
  await legacyServer.close()
})

interface Attempt {
  readonly method: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: Buffer
}

function seeds(): { path: string; headers: Record<string, string>; body: string }[] {
  const legacy = (of: LegacySession, path: string, message: unknown) => ({
    path,
    headers: of.headers,
    body: JSON.stringify(message),
  })
  const call = (id: unknown) => ({
    jsonrpc: '2.0',
    id,
    method: 'tools/call',
    params: { name: 'l__x', arguments: {} },
  })
  return [
    { path: '/mcp/m', ...callTool('echo', { a: [1, { b: null }] }) },
    { path: '/mcp/m', ...modern('resources/read', { uri: 'test://x' }) },
    { path: '/mcp/m', ...modern('subscriptions/listen', { notifications: { toolsListChanged: true } }) },
    { path: '/mcp', ...modern('tools/list', { cursor: 'x' }) },
    { path: '/mcp/l', headers: jsonHeaders, body: JSON.stringify(initialize()) },
    legacy(session, '/mcp/l', call(7)),
    legacy(session, '/mcp/l', {
      jsonrpc: '2.0',
      method: 'notifications/cancelled',
      params: { requestId: 7 },
    }),
    legacy(session, '/mcp/l', { jsonrpc: '2.0', id: 3, result: {} }),
    legacy(whole, '/mcp', [call(1), call('b'), { jsonrpc: '2.0', method: 'notifications/x' }]),
    legacy(whole, '/mcp', { jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }),
    legacy(whole, '/mcp', {
      jsonrpc: '2.0',
      id: 1,
      method: 'completion/complete',
      params: { ref: { type: 'ref/prompt', name: 'l__p' }, argument: {} },
    }),
    legacy(whole, '/mcp', { jsonrpc: '2.0', id: 1, method: 'logging/setLevel', params: { level: 'debug' } }),
  ]
}

const fragment = fc.oneof(
  fc.constantFrom(
    'null',
    '""',
    '{}',
    '[]',
    '-1',
    '1e999',
    'true',
    '"id":1,',
    '"__proto__":{},',
    '\\',
    '"',
    '\0',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '\ufeff',
    '\u{1f600}',
  ),
  fc.string({ unit: 'binary', maxLength: 6 }),
)
const headerValue = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    'null',
    '0',
    '-1',
    'x'.repeat(2_000),
    '=?base64?!!?=',
    '=?base64?AA==?=',
    '*/*',
    'text/event-stream',
    '2026-07-28',
    '2025-06-18',
    '1_1',
    'c1_1',
    's1_0',
    '__proto__',
  ),
  fc.string({
    unit: fc
      .integer({ min: 0x20, max: 0xff })
      .filter((code) => code !== 0x7f)
      .map((code) => String.fromCharCode(code)),
    maxLength: 12,
  }),
)
const headerName = fc.constantFrom(
  'accept',
  'content-type',
  'mcp-method',
  'mcp-name',
  'mcp-protocol-version',
  'mcp-session-id',
  'last-event-id',
  'origin',
  'traceparent',
  'mcp-param-x',
  'authorization',
)
const change = fc.oneof(
  fc.record({ kind: fc.constant('insert' as const), at: fc.nat(), text: fragment }),
  fc.record({ kind: fc.constant('replace' as const), at: fc.nat(), length: fc.nat(12), text: fragment }),
  fc.record({ kind: fc.constant('byte' as const), at: fc.nat(), value: fc.nat(255) }),
  fc.record({ kind: fc.constant('swap' as const), at: fc.nat(), to: fc.nat(), length: fc.nat(30) }),
  fc.record({ kind: fc.constant('header' as const), name: headerName, value: headerValue }),
  fc.record({ kind: fc.constant('no-header' as const), name: headerName }),
  fc.record({
    kind: fc.constant('method' as const),
    value: fc.constantFrom('GET', 'DELETE', 'PUT', 'OPTIONS', 'HEAD', 'PATCH'),
  }),
  fc.record({
    kind: fc.constant('path' as const),
    value: fc.constantFrom(
      '/mcp',
      '/mcp/l',
      '/mcp/m',
      '/mcp/',
      '/mcp/%00',
      '/mcp/%6c',
      '/',
      '/.well-known/oauth-protected-resource/mcp/m',
    ),
  }),
)
const attempts = fc.array(
  fc.record({ seed: fc.nat(11), changes: fc.array(change, { minLength: 1, maxLength: 4 }) }),
  {
    minLength: TOGETHER,
    maxLength: TOGETHER,
  },
)

function build(
  seed: number,
  changes: readonly (typeof change extends fc.Arbitrary<infer C> ? C : never)[],
): Attempt {
  const [first] = seeds()
  const from = seeds()[seed] ?? first
  if (from === undefined) throw new Error('no seed')
  let { path } = from
  let method = 'POST'
  let body = Buffer.from(from.body)
  const headers = { ...from.headers }
  for (const it of changes) {
    if (it.kind === 'header') headers[it.name] = it.value
    else if (it.kind === 'no-header') delete headers[it.name]
    else if (it.kind === 'method') method = it.value
    else if (it.kind === 'path') path = it.value
    else {
      const at = it.at % (body.length + 1)
      if (it.kind === 'insert')
        body = Buffer.concat([body.subarray(0, at), Buffer.from(it.text), body.subarray(at)])
      else if (it.kind === 'replace')
        body = Buffer.concat([body.subarray(0, at), Buffer.from(it.text), body.subarray(at + it.length)])
      else if (it.kind === 'byte')
        body = Buffer.concat([body.subarray(0, at), Buffer.from([it.value]), body.subarray(at + 1)])
      else {
        const piece = body.subarray(at, at + it.length)
        const rest = Buffer.concat([body.subarray(0, at), body.subarray(at + it.length)])
        const to = it.to % (rest.length + 1)
        body = Buffer.concat([rest.subarray(0, to), piece, rest.subarray(to)])
      }
    }
  }
  return {
    method,
    path,
    headers,
    body: method === 'POST' || method === 'PUT' || method === 'PATCH' ? body : Buffer.alloc(0),
  }
}

/** Status and body; a stream that stays open is left once its head is there. */
function carryOut({ method, path, headers, body }: Attempt): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      running.origin + path,
      { method, headers, agent, timeout: LIMIT_MS },
      (incoming) => {
        const status = incoming.statusCode ?? 0
        const isEndless = method === 'GET' || body.includes('subscriptions/listen')
        if (isEndless && incoming.headers['content-type'] === 'text/event-stream') {
          outgoing.destroy()
          resolve({ status, text: '' })
          return
        }
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('end', () => resolve({ status, text: Buffer.concat(chunks).toString() }))
        incoming.on('error', reject)
      },
    )
    outgoing.on('timeout', () => {
      reject(new Error(`no answer to ${method} ${path} ${JSON.stringify(headers)} ${body.toString()}`))
      outgoing.destroy()
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

test(`${TOGETHER * ROUNDS} damaged requests: every one is answered, none is answered with 5xx, and the gateway lives on`, async () => {
  const statuses = new Map<number, number>()
  await fc.assert(
    fc.asyncProperty(attempts, async (chosen) => {
      const answers = await Promise.all(chosen.map(({ seed, changes }) => carryOut(build(seed, changes))))
      for (const { status, text } of answers) {
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        expect(status, text).toBeLessThan(500)
        if (text.startsWith('{')) JSON.parse(text)
      }
      // a cancelled handshake or an ended session is the attempts' own doing: go on with new ones
      if ((await session.post({ jsonrpc: '2.0', id: 'alive', method: 'ping' })).status === 404)
        session = await openSession(running.at('l'))
      if ((await whole.post({ jsonrpc: '2.0', id: 'alive', method: 'ping' })).status === 404)
        whole = await openSession(running.url, { version: '2025-03-26' })
    }),
    { numRuns: ROUNDS, endOnFailure: true },
  )
  expect(statuses.get(200) ?? 0).toBeGreaterThan(50)
  expect(statuses.get(400) ?? 0).toBeGreaterThan(50)
  expect((await send(running.at('m'), callTool('echo'))).status).toBe(200)
  expect(logger.lines.filter(({ level }) => level === 'error')).toEqual([])
  expect(audit.entries().every(({ outcome }) => outcome !== undefined)).toBe(true)
}, 60_000)

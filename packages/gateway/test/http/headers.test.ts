import { connect } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { at, send, sendRaw, until } from './client.ts'
import { type RunningGateway, startGateway } from './gateway.ts'
import { callTool, envelope, jsonHeaders, modern, openSession, withBody } from './messages.ts'
import { type Arrival, type HandmadeUpstream, startHandmade } from './upstream.ts'

let modernServer: HandmadeUpstream
let legacyServer: HandmadeUpstream
let running: RunningGateway
let together: RunningGateway
let arrivedBefore = 0

beforeAll(async () => {
  modernServer = await startHandmade()
  legacyServer = await startHandmade({ era: 'legacy' })
  running = await startGateway({ servers: { m: { url: modernServer.url }, l: { url: legacyServer.url } } })
  together = await startGateway({ servers: { m: { url: modernServer.url } } })
  await running.gateway.ready()
  await together.gateway.ready()
})
beforeEach(() => {
  arrivedBefore = modernServer.arrived.length
})
afterAll(async () => {
  await running.close()
  await together.close()
  await modernServer.close()
  await legacyServer.close()
})

function arrivals(): readonly Arrival[] {
  return modernServer.arrived.slice(arrivedBefore)
}

describe('headers that have to repeat the body', () => {
  const call = callTool('echo')
  const without = (name: string) => {
    const { [name]: _, ...headers } = call.headers
    return { ...call, headers }
  }
  const instead = (headers: Record<string, string | string[]>) => ({
    ...call,
    headers: { ...call.headers, ...headers },
  })

  test.each([
    ['another method', instead({ 'mcp-method': 'tools/list' })],
    ['the method in capitals', instead({ 'mcp-method': 'TOOLS/CALL' })],
    ['no method', without('mcp-method')],
    ['an empty method', instead({ 'mcp-method': '' })],
    ['two methods', instead({ 'mcp-method': ['tools/call', 'tools/list'] })],
    ['the method twice', instead({ 'mcp-method': ['tools/call', 'tools/call'] })],
    ['another name', instead({ 'mcp-name': 'delete' })],
    ['no name', without('mcp-name')],
    ['an empty name', instead({ 'mcp-name': '' })],
    ['two names', instead({ 'mcp-name': ['echo', 'delete'] })],
    ['another name in Base64', instead({ 'mcp-name': '=?base64?ZGVsZXRl?=' })],
    ['bad Base64', instead({ 'mcp-name': '=?base64?ZWNobw?=' })],
    ['no version', without('mcp-protocol-version')],
    ['a legacy version', instead({ 'mcp-protocol-version': '2025-11-25' })],
    ['an unknown version', instead({ 'mcp-protocol-version': 'v999' })],
    ['two versions', instead({ 'mcp-protocol-version': ['2026-07-28', '2025-11-25'] })],
    ['a name for a call without one', { ...withBody(call, modern('tools/call').body) }],
    ['a name for a call with a number', { ...withBody(call, modern('tools/call', { name: 5 }).body) }],
  ])('%s: -32020, HTTP 400, and the server hears nothing', async (_, request) => {
    for (const url of [running.at('m'), together.url]) {
      const answer = await send(url, request)
      expect({ status: answer.status, code: at(answer.json, 'error', 'code') }).toEqual({
        status: 400,
        code: -32020,
      })
      expect(at(answer.json, 'id')).toBe(1)
    }
    expect(arrivals()).toEqual([])
  })

  test.each([
    ['a resource', modern('resources/read', { uri: 'test://a' }), 'test://b'],
    ['a prompt', modern('prompts/get', { name: 'a' }), 'b'],
  ])('the name of %s counts as well', async (_, request, other) => {
    const answer = await send(running.at('m'), {
      ...request,
      headers: { ...request.headers, 'mcp-name': other },
    })
    expect(at(answer.json, 'error', 'code')).toBe(-32020)
    expect(arrivals()).toEqual([])
  })

  test.each([
    ['blanks around the name', instead({ 'mcp-name': '  echo  ' })],
    ['the name in Base64', instead({ 'mcp-name': '=?base64?ZWNobw==?=' })],
    [
      'capitals in the name of a header',
      { ...call, headers: { ...without('mcp-method').headers, 'MCP-METHOD': 'tools/call' } },
    ],
  ])('%s: fine', async (_, request) => {
    expect((await send(running.at('m'), request)).status).toBe(200)
    expect(arrivals()).toHaveLength(1)
    expect(arrivals()[0]?.headers['mcp-method']).toBe('tools/call')
  })

  test('a name that no header can carry arrives in Base64, and as what the server calls it', async () => {
    const name = 'wörld 世界'
    const encoded = `=?base64?${Buffer.from(name).toString('base64')}?=`
    const request = callTool(name)
    const headers = { ...request.headers, 'mcp-name': encoded }
    expect((await send(running.at('m'), { ...request, headers })).status).toBe(200)
    expect(arrivals()[0]?.headers['mcp-name']).toBe(encoded)
    const raw = { ...request.headers, 'mcp-name': Buffer.from(name).toString('latin1') }
    expect((await send(running.at('m'), { ...request, headers: raw })).status).toBe(400)
  })

  test('on the aggregated endpoint the server gets its own name, in the header as in the body', async () => {
    expect((await send(together.url, callTool('m__echo'))).status).toBe(200)
    expect(arrivals()[0]?.headers['mcp-name']).toBe('echo')
    expect(at(arrivals()[0]?.message, 'params', 'name')).toBe('echo')
  })
})

describe('the envelope', () => {
  const version = 'io.modelcontextprotocol/protocolVersion'
  const capabilities = 'io.modelcontextprotocol/clientCapabilities'
  test.each([
    ['none', {}],
    ['null', { _meta: null }],
    ['a list', { _meta: [] }],
    ['no version', { _meta: { ...envelope, [version]: undefined } }],
    ['a number as version', { _meta: { ...envelope, [version]: 20260728 } }],
    ['null as version', { _meta: { ...envelope, [version]: null } }],
    ['no capabilities', { _meta: { ...envelope, [capabilities]: undefined } }],
    ['text as capabilities', { _meta: { ...envelope, [capabilities]: 'all' } }],
    ['a list as capabilities', { _meta: { ...envelope, [capabilities]: [] } }],
  ])('%s: -32602, HTTP 400', async (_, params) => {
    const { headers } = modern('tools/list')
    const body = JSON.stringify({ jsonrpc: '2.0', id: 'x', method: 'tools/list', params })
    for (const url of [running.at('m'), together.url]) {
      const answer = await send(url, { headers, body })
      expect({
        status: answer.status,
        code: at(answer.json, 'error', 'code'),
        id: at(answer.json, 'id'),
      }).toEqual({
        status: 400,
        code: -32602,
        id: 'x',
      })
    }
    expect(arrivals()).toEqual([])
  })

  test.each(['v999.0.0', '2027-01-01', '2025-11-25', '', '2026-07-28 '])(
    'version %j: -32022 with what is supported and what was asked for',
    async (wanted) => {
      const request = modern('tools/list', { _meta: { ...envelope, [version]: wanted } })
      const headers = { ...request.headers, 'mcp-protocol-version': wanted.trim() }
      const answer = await send(running.at('m'), { ...request, headers })
      expect(answer.status).toBe(400)
      if (wanted !== wanted.trim()) expect(at(answer.json, 'error', 'code')).toBe(-32020)
      else {
        expect(at(answer.json, 'error')).toMatchObject({
          code: -32022,
          data: { supported: ['2026-07-28'], requested: wanted },
        })
      }
      expect(arrivals()).toEqual([])
    },
  )

  test('a legacy server answers in the form of this era', async () => {
    const answer = await send(running.at('l'), modern('tools/list'))
    expect(answer.status).toBe(200)
    expect(answer.json).toMatchObject({
      result: { resultType: 'complete', ttlMs: 0, cacheScope: 'private' },
    })
  })

  test('a version header that no revision has is refused in the legacy era', async () => {
    const session = await openSession(running.at('l'))
    for (const bad of ['2025-01-01', 'x', '2025-11-25, 2025-06-18', '']) {
      const answer = await session.post(
        { jsonrpc: '2.0', id: 1, method: 'ping' },
        { 'mcp-protocol-version': bad },
      )
      expect(answer.status).toBe(400)
    }
  })
})

describe('what reaches a server', () => {
  const secrets = {
    authorization: 'Bearer inbound-secret',
    cookie: 'sid=inbound-secret',
    'x-api-key': 'inbound-secret',
    'proxy-authorization': 'Basic inbound-secret',
    'x-forwarded-host': 'inbound-secret',
    'x-internal': 'inbound-secret',
    origin: 'http://localhost:1234',
    referer: 'http://localhost/inbound-secret',
  }
  const hopByHop = {
    te: 'trailers',
    'keep-alive': 'timeout=5',
    upgrade: 'websocket',
    trailer: 'x-t',
    'proxy-connection': 'keep-alive',
    connection: 'keep-alive, x-internal',
  }
  const allowed = new Set([
    'host',
    'connection',
    'content-length',
    'content-type',
    'accept',
    'mcp-protocol-version',
    'mcp-method',
    'mcp-name',
    'mcp-session-id',
    'mcp-param-region',
    'traceparent',
    'tracestate',
    'baggage',
  ])
  const trace = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`

  /** Everybody may call: what matters is what goes on. */
  async function anyone(upstream: HandmadeUpstream): Promise<RunningGateway> {
    const principal = { tenant: 't', subject: 's', roles: [], scopes: [] }
    const open = await startGateway({
      servers: { x: { url: upstream.url } },
      authenticate: { authenticate: () => principal },
    })
    await open.gateway.ready()
    return open
  }

  function check(arrival: Arrival | undefined): void {
    expect(JSON.stringify(arrival?.rawHeaders)).not.toContain('inbound-secret')
    expect(Object.keys(arrival?.headers ?? {}).filter((name) => !allowed.has(name))).toEqual([])
    expect(arrival?.headers['host']).toMatch(/^127\.0\.0\.1:\d+$/)
    expect(arrival?.headers['te']).toBeUndefined()
    expect(arrival?.headers.connection).toBe('keep-alive')
  }

  test('of a modern call: its own headers, parameters and the trace, nothing else', async () => {
    const open = await anyone(modernServer)
    try {
      const request = callTool('echo')
      const more = { traceparent: trace, tracestate: 'a=1', baggage: 'b=2', 'mcp-param-region': 'eu' }
      const headers = { ...request.headers, ...secrets, ...hopByHop, ...more }
      expect((await send(open.at('x'), { ...request, headers })).status).toBe(200)
      check(arrivals()[0])
      expect(arrivals()[0]?.headers).toMatchObject(more)
      expect(
        (await send(open.url, { ...callTool('x__echo'), headers: { ...headers, 'mcp-name': 'x__echo' } }))
          .status,
      ).toBe(200)
      check(arrivals()[1])
    } finally {
      await open.close()
    }
  })

  test('of a legacy session', async () => {
    const open = await anyone(legacyServer)
    try {
      const before = legacyServer.all.length
      const session = await openSession(open.at('x'), { headers: secrets })
      const headers = { ...hopByHop, 'mcp-param-region': 'eu', 'mcp-name': 'other', traceparent: trace }
      await session.post({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo' } }, headers)
      const arrived = legacyServer.all.slice(before)
      expect(arrived.length).toBeGreaterThanOrEqual(3)
      for (const arrival of arrived) check(arrival)
      expect(arrived.at(-1)?.headers['mcp-session-id']).not.toBe(session.id)
      expect(arrived.at(-1)?.headers['mcp-name']).toBeUndefined()
      expect(arrived.at(-1)?.headers['traceparent']).toBe(trace)
    } finally {
      await open.close()
    }
  })

  test('an empty parameter header survives', async () => {
    const request = callTool('echo')
    const headers = { ...request.headers, 'mcp-param-region': '', 'mcp-param-x': '=?base64?SGVsbG8=?=' }
    expect((await send(running.at('m'), { ...request, headers })).status).toBe(200)
    expect(arrivals()[0]?.headers).toMatchObject({
      'mcp-param-region': '',
      'mcp-param-x': '=?base64?SGVsbG8=?=',
    })
  })
})

describe('the trace', () => {
  const good = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
  test.each([
    ['too short', '00-aa-bb-01', undefined],
    ['capitals', good.toUpperCase(), undefined],
    ['a line break', `${good}\r\nX-Evil: 1`, undefined],
    ['trailing data', `${good}-what`, `${good}-what`],
    ['as it should be', good, good],
  ])('in _meta: %s', async (_, traceparent, expected) => {
    const request = callTool('echo')
    const params = {
      name: 'echo',
      _meta: { ...envelope, traceparent, tracestate: 'a=1\r\nX-Evil: 1', baggage: 'b\0' },
    }
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params })
    expect((await send(running.at('m'), { ...request, body })).status).toBe(200)
    expect(arrivals()[0]?.headers['traceparent']).toBe(expected)
    expect(arrivals()[0]?.headers['tracestate']).toBeUndefined()
    expect(arrivals()[0]?.headers['baggage']).toBeUndefined()
    expect(arrivals()[0]?.headers['x-evil']).toBeUndefined()
    expect(arrivals()[0]?.text).toBe(body)
  })
})

describe('requests that two readers would cut differently', () => {
  const body = callTool('echo').body
  const head = (more: string) =>
    `POST /mcp/m HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n${Object.entries(
      callTool('echo').headers,
    )
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')}${more}\r\n`
  const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n0\r\n\r\n`

  test.each([
    [
      'both lengths',
      `${head(`Content-Length: ${body.length}\r\nTransfer-Encoding: chunked\r\n`)}${chunk(body)}`,
    ],
    [
      'both lengths, the other way round',
      `${head(`Transfer-Encoding: chunked\r\nContent-Length: 4\r\n`)}${chunk(body)}`,
    ],
    ['two lengths', `${head(`Content-Length: 0\r\nContent-Length: ${body.length}\r\n`)}${body}`],
    [
      'an obsolete line folding',
      `${head(`X-A: b\r\n Content-Length: 3\r\nContent-Length: ${body.length}\r\n`)}${body}`,
    ],
    ['a blank before the colon', `${head(`Content-Length : ${body.length}\r\n`)}${body}`],
    ['an unknown encoding', `${head('Transfer-Encoding: xchunked\r\n')}${chunk(body)}`],
    ['chunked, then something else', `${head('Transfer-Encoding: chunked, identity\r\n')}${chunk(body)}`],
    ['a lone line feed inside a value', head(`X-A: b\nMcp-Name: delete\r\nContent-Length: 0\r\n`)],
    ['a lone carriage return inside a value', head(`X-A: b\rMcp-Name: delete\r\nContent-Length: 0\r\n`)],
    ['NUL in a value', `${head(`X-A: b\0c\r\nContent-Length: ${body.length}\r\n`)}${body}`],
    ['a chunk of bad length', `${head('Transfer-Encoding: chunked\r\n')}zz\r\n${body}\r\n0\r\n\r\n`],
    ['a negative chunk', `${head('Transfer-Encoding: chunked\r\n')}-1\r\n${body}\r\n0\r\n\r\n`],
  ])('%s: HTTP 400, and nothing goes on', async (_, bytes) => {
    expect(await sendRaw(running.port, bytes)).toMatch(/^HTTP\/1\.1 4\d\d /)
    expect(arrivals()).toEqual([])
  })

  test('a second request behind the first is a request of its own', async () => {
    const request = `${head(`Content-Length: ${body.length}\r\n`).replace('Connection: close\r\n', '')}${body}`
    const socket = connect(running.port, '127.0.0.1')
    let text = ''
    socket.on('data', (data) => (text += data.toString()))
    socket.write(request + request)
    await until(() => text.split('HTTP/1.1 200').length === 3, 'two answers')
    socket.destroy()
    expect(arrivals()).toHaveLength(2)
  })
})

test('an answer tells a proxy not to hold event streams back', async () => {
  const session = await openSession(running.at('l'))
  const stream = await session.listen()
  expect(stream.headers).toMatchObject({ 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' })
  stream.hangUp()
})

test('a session id of a server does not reach the client, and the client keeps no session in the modern era', async () => {
  const upstream = await startHandmade({
    handle: (exchange) =>
      exchange.write(200, '{"jsonrpc":"2.0","id":1,"result":{}}', {
        'mcp-session-id': 'theirs',
        'set-cookie': 'a=b',
        'x-theirs': '1',
      }),
  })
  const own = await startGateway({ servers: { x: { url: upstream.url } } })
  try {
    const answer = await send(own.at('x'), {
      ...modern('tools/list'),
      headers: {
        ...jsonHeaders,
        ...modern('tools/list').headers,
        'mcp-session-id': 'mine',
        'last-event-id': '1_1',
      },
    })
    expect(answer.status).toBe(200)
    expect(answer.headers['mcp-session-id']).toBeUndefined()
    expect(answer.headers['set-cookie']).toBeUndefined()
    expect(answer.headers['x-theirs']).toBeUndefined()
    expect(upstream.arrived[0]?.headers['mcp-session-id']).toBeUndefined()
    expect(upstream.arrived[0]?.headers['last-event-id']).toBeUndefined()
  } finally {
    await own.close()
    await upstream.close()
  }
})

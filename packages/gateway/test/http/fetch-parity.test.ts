import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodeHandler } from '../../src/node/index.ts'
import { at, type Outgoing, send, until } from './client.ts'
import { namedCallers, type RunningGateway, startGateway } from './gateway.ts'
import { callTool, envelope, initialize, jsonHeaders, modern } from './messages.ts'
import { type Exchange, type HandmadeUpstream, startHandmade } from './upstream.ts'

let modernServer: HandmadeUpstream
let legacyServer: HandmadeUpstream
let overNode: RunningGateway
let overFetch: RunningGateway
const progress = {
  jsonrpc: '2.0',
  method: 'notifications/progress',
  params: { progressToken: 't', progress: 1 },
}

function act(exchange: Exchange): void {
  if (at(exchange.message, 'id') === undefined) exchange.response.writeHead(202).end()
  else if (at(exchange.message, 'params', 'name') === 'streaming') {
    const event = exchange.stream()
    event(progress)
    event({ jsonrpc: '2.0', id: at(exchange.message, 'id'), result: { x: 1 } })
    exchange.response.end()
  } else exchange.result({ x: 1 })
}

beforeAll(async () => {
  modernServer = await startHandmade({ handle: act })
  legacyServer = await startHandmade({ era: 'legacy', handle: act })
  const options = () => ({
    servers: { m: { url: modernServer.url }, l: { url: legacyServer.url } },
    publicUrl: 'http://gateway.example.com/mcp',
    authenticate: namedCallers({ metadata: { authorizationServers: ['https://login.example.com'] } }),
    limits: { bodyBytes: 10_000, headerBytes: 4_000 },
  })
  overNode = await startGateway(options())
  overFetch = await startGateway(options())
  await overNode.gateway.ready()
  await overFetch.gateway.ready()
})
afterAll(async () => {
  await overNode.close()
  await overFetch.close()
  await modernServer.close()
  await legacyServer.close()
})

const host = 'gateway.example.com'
const ada = { host, 'x-subject': 'ada' }
const as = ({ headers, ...rest }: Outgoing): Outgoing => ({ ...rest, headers: { ...headers, ...ada } })

interface Seen {
  readonly status: number
  readonly headers: Record<string, unknown>
  readonly text: string
}

const compared = [
  'content-type',
  'www-authenticate',
  'allow',
  'access-control-allow-origin',
  'access-control-allow-headers',
  'access-control-allow-methods',
  'access-control-expose-headers',
  'vary',
  'cache-control',
  'retry-after',
  'x-accel-buffering',
]

async function throughNode(
  path: string,
  outgoing: Outgoing,
): Promise<Seen & { session: string | undefined }> {
  const answer = await send(overNode.origin + path, outgoing)
  const session = answer.headers['mcp-session-id']
  return {
    status: answer.status,
    headers: Object.fromEntries(compared.map((name) => [name, answer.headers[name] ?? null])),
    text: answer.text,
    session: typeof session === 'string' ? session : undefined,
  }
}

async function throughFetch(
  path: string,
  { method = 'POST', headers = {}, body }: Outgoing,
): Promise<Seen & { session: string | undefined }> {
  const list = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().map((one): [string, string] => [name, one]),
  )
  const bytes = body === undefined ? null : typeof body === 'string' ? body : new Uint8Array(body)
  const response = await overFetch.gateway.fetch(
    new Request(`http://${host}${path}`, { method, headers: list, ...(bytes !== null && { body: bytes }) }),
    { remoteAddress: '127.0.0.1' },
  )
  return {
    status: response.status,
    headers: Object.fromEntries(compared.map((name) => [name, response.headers.get(name)])),
    text: await response.text(),
    session: response.headers.get('mcp-session-id') ?? undefined,
  }
}

const call = callTool('plain')
const streaming = modern('tools/call', { name: 'streaming', _meta: { ...envelope, progressToken: 't' } })
const requests: [string, string, Outgoing][] = [
  ['a call', '/mcp/m', as(call)],
  ['a call that streams', '/mcp/m', as(streaming)],
  [
    'a stream for who takes nothing else',
    '/mcp/m',
    as({ ...call, headers: { ...call.headers, accept: 'text/event-stream' } }),
  ],
  ['a list of everything', '/mcp', as(modern('tools/list'))],
  ['a call to a legacy server', '/mcp/l', as(call)],
  ['nobody', '/mcp/m', { ...call, headers: { ...call.headers, host } }],
  [
    'a foreign page',
    '/mcp/m',
    as({ ...call, headers: { ...call.headers, origin: 'https://evil.example.com' } }),
  ],
  [
    'our own page',
    '/mcp/m',
    as({ ...call, headers: { ...call.headers, origin: 'http://gateway.example.com' } }),
  ],
  [
    'a preflight',
    '/mcp/m',
    as({
      method: 'OPTIONS',
      headers: { origin: 'http://gateway.example.com', 'access-control-request-headers': 'x-a' },
    }),
  ],
  ['metadata', '/.well-known/oauth-protected-resource/mcp/m', { method: 'GET', headers: { host } }],
  ['no metadata', '/.well-known/oauth-protected-resource/other', { method: 'GET', headers: { host } }],
  ['nowhere', '/other', as(call)],
  ['no such server', '/mcp/none', as(call)],
  ['no JSON', '/mcp/m', as({ ...call, body: '{' })],
  ['no body', '/mcp/m', as({ ...call, body: '' })],
  ['too much', '/mcp/m', as({ ...call, body: 'x'.repeat(10_001) })],
  ['too many headers', '/mcp/m', as({ ...call, headers: { ...call.headers, 'x-pad': 'x'.repeat(4_000) } })],
  ['names twice', '/mcp/m', as({ ...call, body: '{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}' })],
  ['invalid UTF-8', '/mcp/m', as({ ...call, body: Buffer.from('{"a":"\xff"}', 'latin1') })],
  ['another type', '/mcp/m', as({ ...call, headers: { ...call.headers, 'content-type': 'text/plain' } })],
  ['another method', '/mcp/m', as({ method: 'PUT', headers: {} })],
  ['a GET without session', '/mcp/m', as({ method: 'GET', headers: { accept: 'text/event-stream' } })],
  [
    'a header that does not match',
    '/mcp/m',
    as({ ...call, headers: { ...call.headers, 'mcp-name': 'other' } }),
  ],
  ['two names', '/mcp/m', as({ ...call, headers: { ...call.headers, 'mcp-name': ['plain', 'plain'] } })],
  [
    'an unknown session',
    '/mcp/l',
    as({
      headers: { ...jsonHeaders, 'mcp-session-id': 'x' },
      body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
    }),
  ],
  [
    'a notification',
    '/mcp/m',
    as({
      ...call,
      body: JSON.stringify({ jsonrpc: '2.0', method: 'notifications/x', params: { _meta: envelope } }),
    }),
  ],
  ['nothing acceptable', '/mcp/m', as({ ...call, headers: { ...call.headers, accept: 'x/y' } })],
  ['liveness', '/livez', { method: 'GET', headers: {} }],
]

describe('the fetch handler and the node handler give the same answers', () => {
  test.each(requests)('%s', async (_, path, outgoing) => {
    const { session: one, ...node } = await throughNode(path, outgoing)
    const { session: two, ...fetched } = await throughFetch(path, outgoing)
    expect(fetched).toEqual(node)
    expect([one, two]).toEqual([undefined, undefined])
  })

  test('a session', async () => {
    const steps = async (through: typeof throughNode) => {
      const opened = await through('/mcp/l', as({ headers: jsonHeaders, body: JSON.stringify(initialize()) }))
      const headers = { ...jsonHeaders, 'mcp-session-id': opened.session ?? '' }
      const post = (message: unknown) => through('/mcp/l', as({ headers, body: JSON.stringify(message) }))
      return [
        opened,
        await post({ jsonrpc: '2.0', method: 'notifications/initialized' }),
        await post({
          jsonrpc: '2.0',
          id: 1,
          method: 'tools/call',
          params: { name: 'streaming', _meta: { progressToken: 't' } },
        }),
        await post({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'plain' } }),
        await post({ jsonrpc: '2.0', id: 99, result: {} }),
        await through('/mcp/l', as({ method: 'DELETE', headers })),
        await post({ jsonrpc: '2.0', id: 2, method: 'ping' }),
        // event ids carry a mark of their session
      ].map(({ session: _, ...seen }) => ({ ...seen, text: seen.text.replaceAll(/-[\da-f]{8}_/g, '_') }))
    }
    expect(await steps(throughFetch)).toEqual(await steps(throughNode))
  })
})

describe('the fetch handler by itself', () => {
  const request = (init: RequestInit = {}) =>
    new Request(`http://${host}/mcp/m`, {
      method: 'POST',
      headers: { ...call.headers, ...ada },
      body: call.body,
      ...init,
    })

  test('hanging up cancels, by the signal and by the body', async () => {
    const held: Exchange[] = []
    const slow = await startHandmade({ handle: (exchange) => void held.push(exchange) })
    const own = await startGateway({ servers: { m: { url: slow.url } } })
    await own.gateway.ready()
    const local = { remoteAddress: '127.0.0.1' }
    const aborter = new AbortController()
    const init = { method: 'POST', headers: call.headers, body: call.body }
    void own.gateway.fetch(new Request('http://localhost/mcp/m', { ...init, signal: aborter.signal }), local)
    await until(() => held.length === 1, 'the call arrived')
    aborter.abort()
    await until(() => held[0]?.hungUp === true, 'the server was told')
    const answering = own.gateway.fetch(
      new Request('http://localhost/mcp/m', {
        method: 'POST',
        headers: streaming.headers,
        body: streaming.body,
      }),
      local,
    )
    await until(() => held.length === 2, 'the second call arrived')
    held[1]?.stream()(progress)
    const response = await answering
    await response.body?.cancel()
    await until(() => held[1]?.hungUp === true, 'the server was told again')
    await own.close()
    await slow.close()
  })

  test('a body that breaks off is answered, not waited for', async () => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('{"jsonrpc"'))
        controller.error(new Error('gone'))
      },
    })
    const response = await overFetch.gateway.fetch(
      new Request(`http://${host}/mcp/m`, {
        method: 'POST',
        headers: { ...call.headers, ...ada },
        body,
        duplex: 'half',
      }),
    )
    expect(response.status).toBe(400)
  })

  test('a body that was read already is a clear error', async () => {
    const used = request()
    await used.text()
    const response = await overFetch.gateway.fetch(used)
    expect(response.status).toBe(500)
    expect(await response.text()).toContain('before it reached the gateway')
  })

  test('without an address nobody is on this machine', async () => {
    const own = await startGateway({ servers: { m: { url: modernServer.url } } })
    const here = () =>
      new Request('http://localhost/mcp/m', { method: 'POST', headers: call.headers, body: call.body })
    expect((await own.gateway.fetch(here())).status).toBe(403)
    expect((await own.gateway.fetch(here(), { remoteAddress: '10.0.0.1' })).status).toBe(403)
    expect((await own.gateway.fetch(here(), { remoteAddress: '127.0.0.1' })).status).toBe(200)
    await own.close()
  })

  test('needs no this', async () => {
    const { fetch } = overFetch.gateway
    expect((await fetch(request())).status).toBe(200)
  })
})

describe('behind a body parser, as in Express', () => {
  async function behind(
    parse: (request: IncomingMessage & { body?: unknown; originalUrl?: string }, text: string) => void,
    outgoing: Outgoing = call,
  ) {
    const own = await startGateway({
      servers: { m: { url: modernServer.url } },
      limits: { bodyBytes: 1_000 },
    })
    const handler: RequestListener = nodeHandler(own.gateway)
    const server = createServer((request: IncomingMessage, response: ServerResponse) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        parse(request, Buffer.concat(chunks).toString())
        handler(request, response)
      })
    })
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
    const answer = await send(`http://127.0.0.1:${port}/mcp/m`, outgoing)
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await own.close()
    return answer
  }

  test.each<[string, (text: string) => unknown]>([
    ['an object', (text) => JSON.parse(text)],
    ['text', (text) => text],
    ['bytes', (text) => Buffer.from(text)],
  ])('%s in request.body is taken', async (_, body) => {
    const answer = await behind((request, text) => (request.body = body(text)))
    expect(answer.status).toBe(200)
    expect(at(modernServer.arrived.at(-1)?.message, 'params', 'name')).toBe('plain')
  })

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a number', 5],
  ])('%s in request.body is a clear error', async (_, body) => {
    const answer = await behind((request) => (request.body = body))
    expect(answer.status).toBe(500)
    expect(at(answer.json, 'error', 'message')).toMatch(/mount the gateway before body parsers/)
  })

  test('what is too large stays too large', async () => {
    const answer = await behind(
      (request, text) => (request.body = text),
      callTool('x', { pad: 'x'.repeat(1_000) }),
    )
    expect(answer.status).toBe(413)
  })

  test('the path is the one that clients see', async () => {
    const answer = await behind((request, text) => {
      request.originalUrl = request.url ?? ''
      request.url = '/'
      request.body = text
    })
    expect(answer.status).toBe(200)
  })
})

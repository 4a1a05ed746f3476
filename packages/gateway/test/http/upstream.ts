import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { at } from './client.ts'

/** One HTTP request as it reached the server, byte for byte. */
export interface Arrival {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly text: string
  readonly message: unknown
  /** JSON-RPC method of the body; empty for what has none. */
  readonly rpcMethod: string
  /** True once the other side has hung up before it was answered. */
  readonly hungUp: boolean
}

export interface Exchange extends Arrival {
  readonly response: ServerResponse
  /** Answers with this text as it is. */
  write(status: number, text: string | Buffer, headers?: Readonly<Record<string, string>>): void
  /** Answers with a result under the id of the request. */
  result(value: unknown): void
  error(status: number, code: number, message: string): void
  /** Begins an event stream; the function sends one event. */
  stream(): (message: unknown, fields?: string) => void
}

export interface HandmadeOptions {
  readonly era?: 'modern' | 'legacy'
  readonly capabilities?: Readonly<Record<string, unknown>>
  /** Everything that is not the handshake. Default: results that hold what arrived. */
  readonly handle?: (exchange: Exchange) => void
  /** Streams for what is said unasked, legacy era. Default: there are none (405). */
  readonly listen?: (exchange: Exchange) => void
}

export interface HandmadeUpstream {
  readonly url: string
  /** What arrived, without handshakes, oldest first. */
  readonly arrived: readonly Arrival[]
  /** Everything that arrived. */
  readonly all: readonly Arrival[]
  close(): Promise<void>
}

/** A server that answers whatever a test tells it to, and shows what it got. Written by hand: no SDK tidies it up. */
export async function startHandmade(options: HandmadeOptions = {}): Promise<HandmadeUpstream> {
  const { era = 'modern', capabilities = { tools: {}, prompts: {}, resources: {} }, handle = echo } = options
  const listen = options.listen ?? (({ response }) => void response.writeHead(405).end())
  const arrived: Arrival[] = []
  const all: Arrival[] = []
  let sessions = 0
  const server = createServer((request, response) => {
    void read(request).then((text) => {
      const exchange = exchangeOf(request, response, text)
      all.push(exchange)
      if (shakesHands(exchange, era, capabilities, () => `session-${++sessions}`)) return
      if (era === 'legacy' && exchange.method === 'GET' && exchange.headers['last-event-id'] === undefined) {
        listen(exchange)
        return
      }
      arrived.push(exchange)
      handle(exchange)
    })
  })
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    arrived,
    all,
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      return closed
    },
  }
}

/** Answers a request with what arrived, as text inside a tool result. */
export function echo(exchange: Exchange): void {
  if (at(exchange.message, 'id') === undefined) exchange.response.writeHead(202).end()
  else exchange.result({ resultType: 'complete', content: [{ type: 'text', text: exchange.text }] })
}

function shakesHands(
  exchange: Exchange,
  era: 'modern' | 'legacy',
  capabilities: Readonly<Record<string, unknown>>,
  newSession: () => string,
): boolean {
  const { rpcMethod } = exchange
  const serverInfo = { name: 'handmade', version: '1' }
  if (exchange.method === 'DELETE') {
    exchange.response.writeHead(200).end()
    return true
  }
  if (rpcMethod === 'server/discover') {
    if (era === 'legacy') exchange.error(400, -32600, 'initialize first')
    else {
      exchange.result({
        resultType: 'complete',
        supportedVersions: ['2026-07-28'],
        capabilities,
        ttlMs: 0,
        cacheScope: 'private',
        _meta: { 'io.modelcontextprotocol/serverInfo': serverInfo },
      })
    }
    return true
  }
  if (era === 'modern') return false
  if (rpcMethod === 'notifications/initialized') {
    exchange.response.writeHead(202).end()
    return true
  }
  if (rpcMethod !== 'initialize') return false
  const protocolVersion = at(exchange.message, 'params', 'protocolVersion')
  const result = { protocolVersion, capabilities, serverInfo }
  const body = { jsonrpc: '2.0', id: at(exchange.message, 'id'), result }
  exchange.write(200, JSON.stringify(body), { 'mcp-session-id': newSession() })
  return true
}

function exchangeOf(request: IncomingMessage, response: ServerResponse, text: string): Exchange {
  const message = parsed(text)
  const rpcMethod = at(message, 'method')
  const id = idText(text)
  const write: Exchange['write'] = (status, body, headers = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(body)
  }
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    headers: request.headers,
    rawHeaders: request.rawHeaders,
    text,
    message,
    rpcMethod: typeof rpcMethod === 'string' ? rpcMethod : '',
    get hungUp() {
      return response.destroyed && !response.writableFinished
    },
    response,
    write,
    result: (value) => write(200, `{"jsonrpc":"2.0","id":${id},"result":${JSON.stringify(value)}}`),
    error: (status, code, text) =>
      write(status, `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify({ code, message: text })}}`),
    stream() {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.flushHeaders()
      return (event, fields = '') => {
        const data = event === undefined ? '' : JSON.stringify(event)
        response.write(`${fields}data: ${data}\n\n`)
      }
    },
  }
}

/** The id as it was written: numbers that JavaScript would spell otherwise stay as they are. */
function idText(text: string): string {
  return /"id"\s*:\s*("(?:[^"\\]|\\.)*"|[^,}\s]+)/.exec(text)?.[1] ?? 'null'
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of request) chunks.push(Buffer.from(chunk))
  } catch {
    // the gateway hung up in the middle: what came until then is what arrived
  }
  return Buffer.concat(chunks).toString()
}

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { localhostHostValidation, localhostOriginValidation, toNodeHandler } from '@modelcontextprotocol/node'
import { classifyInboundRequest, createMcpHandler, type McpHttpHandler } from '@modelcontextprotocol/server'
import { createServerFactory } from './fixture-server.ts'
import { createLegacySessions, type LegacySessions, refuse } from './legacy-sessions.ts'
import { type Cancellation, type ReceivedRequest, type UpstreamEra, UpstreamState } from './upstream-state.ts'

const bodyLimitBytes = 16 * 1024 * 1024
const path = '/mcp'

export interface McpUpstreamOptions {
  /** Default `dual`: both eras on the one endpoint. */
  era?: UpstreamEra
  /** Default 0: any free port. Always on 127.0.0.1. */
  port?: number
  /** Default `fixture`. */
  name?: string
  /** Lists come in pages of this many; absent: in one piece. */
  pageSize?: number
}

export interface McpUpstream {
  url: string
  /** The requests that arrived, oldest first; the last 200 are kept. */
  received(): readonly ReceivedRequest[]
  /** The `slow` calls that were cancelled. */
  cancellations(): readonly Cancellation[]
  /** Number of legacy sessions that are open. */
  sessions(): number
  close(): Promise<void>
}

export async function startMcpUpstream(options: McpUpstreamOptions = {}): Promise<McpUpstream> {
  const { era = 'dual', port = 0, name = 'fixture', pageSize } = options
  const state = new UpstreamState('http')
  const createMcpServer = createServerFactory({ state, name, ...(pageSize !== undefined && { pageSize }) })
  const modern = createMcpHandler(createMcpServer, { legacy: 'reject', maxRequestBodySize: bodyLimitBytes })
  state.notifier = modern.notify
  const legacy = createLegacySessions(createMcpServer, state)
  const listener = createListener(era, modern, legacy, state)
  const http = createServer((request, response) => {
    listener(request, response).catch((error: unknown) => {
      if (!response.headersSent) refuse(response, 500, -32603, String(error))
      else response.destroy()
    })
  })
  const address = await listen(http, port)

  return {
    url: `http://127.0.0.1:${address.port}${path}`,
    received: () => state.received,
    cancellations: () => state.cancellations,
    sessions: () => legacy.count(),
    async close() {
      await modern.close()
      await legacy.close()
      const closed = new Promise((resolve) => http.close(resolve))
      http.closeAllConnections()
      await closed
    },
  }
}

function createListener(
  era: UpstreamEra,
  modern: McpHttpHandler,
  legacy: LegacySessions,
  state: UpstreamState,
) {
  const hostIsLocal = localhostHostValidation()
  const originIsLocal = localhostOriginValidation()
  const serveModern = toNodeHandler(modern, { maxRequestBodySize: bodyLimitBytes })

  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    // Before the body is read: a page that rebinds DNS must not reach any code behind this line.
    if (!hostIsLocal(request, response) || !originIsLocal(request, response)) return
    if (new URL(request.url ?? '/', 'http://localhost').pathname !== path) {
      return refuse(response, 404, -32000, 'Not found')
    }
    const body = request.method === 'POST' ? await readJson(request) : undefined
    state.record({
      httpMethod: request.method ?? '',
      path: request.url ?? '',
      headers: singleHeaders(request),
      ...methodOf(body?.value),
    })
    if (body !== undefined && 'problem' in body) return refuse(response, body.status, body.code, body.problem)
    if (era === 'legacy' || (era === 'dual' && isLegacy(request, body?.value))) {
      return legacy.handle(request, response, body?.value)
    }
    await serveModern(
      Object.assign(request, { method: request.method ?? '', url: request.url ?? '/' }),
      response,
      body?.value,
    )
  }
}

/** The SDK's own decision, so that this endpoint and a strict modern one never disagree about a request. */
function isLegacy(request: IncomingMessage, body: unknown): boolean {
  const headers = singleHeaders(request)
  const outcome = classifyInboundRequest({
    httpMethod: request.method ?? '',
    ...(headers['mcp-protocol-version'] && { protocolVersionHeader: headers['mcp-protocol-version'] }),
    ...(headers['mcp-method'] && { mcpMethodHeader: headers['mcp-method'] }),
    ...(headers['mcp-name'] && { mcpNameHeader: headers['mcp-name'] }),
    ...(body !== undefined && { body }),
  })
  return outcome.kind === 'legacy'
}

function singleHeaders(request: IncomingMessage): Record<string, string> {
  const entries = Object.entries(request.headers)
  return Object.fromEntries(
    entries.map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]),
  )
}

function methodOf(body: unknown): { rpcMethod?: string } {
  if (typeof body !== 'object' || body === null || !('method' in body)) return {}
  return typeof body.method === 'string' ? { rpcMethod: body.method } : {}
}

type Body = { value: unknown } | { value?: undefined; status: number; code: number; problem: string }

async function readJson(request: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size <= bodyLimitBytes) chunks.push(chunk)
  }
  // Read to the end all the same: an answer in the middle of a body can be lost to a connection reset.
  if (size > bodyLimitBytes) return { status: 413, code: -32000, problem: 'Request body too large' }
  try {
    return { value: JSON.parse(Buffer.concat(chunks).toString()) }
  } catch {
    return { status: 400, code: -32700, problem: 'Parse error: the request body is not valid JSON' }
  }
}

function listen(http: ReturnType<typeof createServer>, port: number): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    http.once('error', reject)
    http.listen(port, '127.0.0.1', () => {
      http.off('error', reject)
      const address = http.address()
      if (typeof address === 'object' && address !== null) resolve(address)
      else reject(new Error('The server has no port'))
    })
  })
}

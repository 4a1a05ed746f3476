import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { NodeStreamableHTTPServerTransport } from '@modelcontextprotocol/node'
import { isInitializeRequest, type McpServer } from '@modelcontextprotocol/server'
import { createEventStore } from './event-store.ts'
import type { UpstreamState } from './upstream-state.ts'

/** Short, so that a client which honours it can resume within the time a test is willing to wait. */
const retryMs = 250

export interface LegacySessions {
  /** Serves one request of a 2025-era client; `body` is the parsed JSON of a POST. */
  handle(request: IncomingMessage, response: ServerResponse, body: unknown): Promise<void>
  count(): number
  close(): Promise<void>
}

/** Streamable HTTP up to 2025-11-25: a session per initialize, event streams that can be resumed. */
export function createLegacySessions(createServer: () => McpServer, state: UpstreamState): LegacySessions {
  const sessions = new Map<string, { transport: NodeStreamableHTTPServerTransport; server: McpServer }>()

  async function open(request: IncomingMessage, response: ServerResponse, body: unknown): Promise<void> {
    const server = createServer()
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: createEventStore(),
      retryInterval: retryMs,
      onsessioninitialized(id) {
        sessions.set(id, { transport, server })
        state.connect(server)
      },
      onsessionclosed(id) {
        sessions.delete(id)
      },
    })
    await server.connect(transport)
    await transport.handleRequest(request, response, body)
  }

  return {
    async handle(request, response, body) {
      const id = request.headers['mcp-session-id']
      const session = typeof id === 'string' ? sessions.get(id) : undefined
      if (session !== undefined) return session.transport.handleRequest(request, response, body)
      if (id !== undefined) return refuse(response, 404, -32001, 'Session not found')
      if (request.method === 'POST' && isInitializeRequest(body)) return open(request, response, body)
      refuse(response, 400, -32000, 'Bad Request: no valid session id provided')
    },
    count: () => sessions.size,
    async close() {
      await Promise.all([...sessions.values()].map(({ server }) => server.close()))
      sessions.clear()
    },
  }
}

export function refuse(response: ServerResponse, status: number, code: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code, message } }))
}

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Era } from '../caller.ts'

type Json = Readonly<Record<string, unknown>>

/** One call that the server got, to be answered in whatever way. */
export interface Exchange {
  readonly id: unknown
  readonly response: ServerResponse
  readonly socket: Socket
  /** The response that a good server would give. */
  readonly answer: Json
  /** Settles when nobody waits for the answer any more. */
  readonly closed: Promise<unknown>
}

export interface FaultyHttp {
  readonly url: string
  readonly port: number
  /** Calls of each tool, and of methods other than `tools/call`, that arrived. */
  count(tool: string): number
  /** Calls that somebody waits for, or whose connection is still there. */
  readonly open: number
  /** Forgets every session, as a restart would. */
  forgetSessions(): void
  close(): Promise<void>
}

export interface FaultyHttpOptions {
  readonly era: Era
  readonly port?: number
  readonly host?: string
  /** What it does, by the name of the tool that is called; every other tool is answered as it should be. */
  readonly tools?: Readonly<Record<string, (exchange: Exchange) => void>>
  /** Sees every request first; true if it has dealt with it. */
  readonly first?: (request: IncomingMessage, response: ServerResponse, message: Json) => boolean
}

const facts = {
  capabilities: { tools: { listChanged: true } },
  serverInfo: { name: 'faulty', version: '1' },
}

/** An MCP server by hand, without any library that would keep it from going wrong. */
export async function startFaultyHttp(options: FaultyHttpOptions): Promise<FaultyHttp> {
  const counts = new Map<string, number>()
  const sessions = new Set<string>()
  let open = 0
  const server = createServer((request, response) => {
    void readBody(request).then((message) => {
      const { method, params } = message
      const name = isJson(params) && method === 'tools/call' ? String(params['name']) : String(method)
      counts.set(name, (counts.get(name) ?? 0) + 1)
      if (options.first?.(request, response, message) === true) return
      const session = request.headers['mcp-session-id']
      if (request.method !== 'POST') response.writeHead(405).end()
      else if (options.era === 'legacy' && typeof session === 'string' && !sessions.has(session))
        response.writeHead(404).end()
      else if (!('id' in message)) response.writeHead(202).end()
      else {
        const answer = { jsonrpc: '2.0', id: message['id'], ...answerTo(message, options.era) }
        const act = method === 'tools/call' ? options.tools?.[name] : undefined
        if (act !== undefined) {
          const { socket } = request
          open++
          const closed = new Promise((resolve) => response.once('close', resolve))
          void closed.then(() => open--)
          act({ id: message['id'], response, socket, answer, closed })
          return
        }
        const id = `session-${process.hrtime.bigint()}`
        if (method === 'initialize') sessions.add(id)
        response.writeHead(200, {
          'content-type': 'application/json',
          ...(method === 'initialize' && { 'mcp-session-id': id }),
        })
        response.end(JSON.stringify(answer))
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve))
  const port = portOf(server)
  return {
    port,
    get open() {
      return open
    },
    url: `http://${options.host ?? '127.0.0.1'}:${port}/mcp`,
    count: (tool) => counts.get(tool) ?? 0,
    forgetSessions: () => sessions.clear(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function answerTo(message: Json, era: Era): Json {
  const { method, params } = message
  const name = isJson(params) ? params['name'] : undefined
  const complete = era === 'modern' ? { resultType: 'complete' } : {}
  switch (method) {
    case 'server/discover':
      if (era === 'modern') return { result: { ...complete, ...facts, supportedVersions: ['2026-07-28'] } }
      return { error: { code: -32601, message: 'Method not found' } }
    case 'initialize':
      if (era === 'legacy') return { result: { ...facts, protocolVersion: '2025-11-25' } }
      return { error: { code: -32601, message: 'Method not found' } }
    case 'tools/list':
      return { result: { ...complete, tools: [{ name: 'fine', inputSchema: { type: 'object' } }] } }
    case 'tools/call':
      return { result: { ...complete, content: [{ type: 'text', text: `did ${String(name)}` }] } }
    default:
      return { error: { code: -32601, message: 'Method not found' } }
  }
}

async function readBody(request: IncomingMessage): Promise<Json> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  const value: unknown = text === '' ? {} : JSON.parse(text)
  return isJson(value) ? value : {}
}

function portOf(server: Server): number {
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('the server does not listen')
  return address.port
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

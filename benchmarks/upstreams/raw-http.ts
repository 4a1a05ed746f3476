import { randomUUID } from 'node:crypto'
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import { parseArgs } from 'node:util'
import { isRecord } from '../load/answer-check.ts'
import { type EchoAnswer, type Era, createEchoProtocol, failure } from './echo-protocol.ts'

/**
 * The echo server over Streamable HTTP on plain node:http, and "direct" in the tables.
 * `--port N --era legacy|modern|both --answer json|sse --padding BYTES --tools N --named-after SERVERS --hang`
 */
const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    era: { type: 'string', default: 'both' },
    answer: { type: 'string', default: 'json' },
    padding: { type: 'string', default: '0' },
    tools: { type: 'string', default: '1' },
    'named-after': { type: 'string', default: '0' },
    hang: { type: 'boolean', default: false },
  },
})
const era: Era = values.era === 'legacy' || values.era === 'modern' ? values.era : 'both'
const asEventStream = values.answer === 'sse'
const respond = createEchoProtocol({
  era,
  paddingBytes: Number(values.padding),
  toolCount: Number(values.tools),
  namedAfterServers: Number(values['named-after']),
})
const sessions = new Set<string>()

const server = createServer((request, response) => {
  if (request.method === 'POST') readBody(request, (body) => post(request, response, body))
  else if (request.method === 'DELETE')
    response.writeHead(sessions.delete(sessionOf(request)) ? 204 : 404).end()
  // No stream of its own to offer: nothing here ever speaks first.
  else response.writeHead(405, { allow: 'POST, DELETE' }).end()
})
server.keepAliveTimeout = 120_000
server.listen(Number(values.port), '127.0.0.1', () => {
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}/mcp` })}\n`)
})

function post(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  let message: unknown
  try {
    message = JSON.parse(body.toString())
  } catch {
    return send(response, failure(null, -32700, 'Parse error', 400))
  }
  const refusal = refusalOf(request, message)
  if (refusal) return send(response, refusal)
  if (values.hang && isRecord(message) && message.method === 'tools/call') return
  const answer = respond(message)
  if (!answer) response.writeHead(202).end()
  else if (isRecord(message) && message.method === 'initialize' && answer.status === 200) {
    const sessionId = randomUUID()
    sessions.add(sessionId)
    send(response, answer, sessionId)
  } else send(response, answer)
}

function refusalOf(request: IncomingMessage, message: unknown): EchoAnswer | undefined {
  if (!isRecord(message)) return undefined
  const { headers } = request
  if (headers['mcp-protocol-version'] === '2026-07-28' && era !== 'legacy') {
    const mismatch = headers['mcp-method'] !== message.method || headers['mcp-name'] !== nameIn(message)
    return mismatch ? failure(null, -32020, 'Header mismatch', 400) : undefined
  }
  if (message.method === 'initialize' || era === 'modern') return undefined
  const sessionId = sessionOf(request)
  if (sessionId === '') return failure(null, -32000, 'Bad Request: Server not initialized', 400)
  return sessions.has(sessionId) ? undefined : failure(null, -32001, 'Session not found', 404)
}

function nameIn(message: Record<string, unknown>): unknown {
  return message.method === 'tools/call' && isRecord(message.params) ? message.params.name : undefined
}

function sessionOf(request: IncomingMessage): string {
  const value = request.headers['mcp-session-id']
  return typeof value === 'string' ? value : ''
}

function send(response: ServerResponse, { text, status }: EchoAnswer, sessionId?: string): void {
  const stream = asEventStream && status === 200
  const body = stream ? `event: message\ndata: ${text}\n\n` : text
  response.writeHead(status, {
    'content-type': stream ? 'text/event-stream' : 'application/json',
    // An event stream has no length known before it ends, so it goes out chunked as a real one does.
    ...(!stream && { 'content-length': Buffer.byteLength(body) }),
    ...(sessionId && { 'mcp-session-id': sessionId }),
  })
  if (stream) {
    response.write(body)
    response.end()
  } else response.end(body)
}

function readBody(request: IncomingMessage, onBody: (body: Buffer) => void): void {
  const parts: Buffer[] = []
  request.on('data', (part: Buffer) => parts.push(part))
  request.on('end', () => onBody(parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts)))
}

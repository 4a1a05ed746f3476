import { at, type Answer, type EventReader, openEvents, type Outgoing, send } from './client.ts'

export const both = 'application/json, text/event-stream'
export const jsonHeaders = { 'content-type': 'application/json', accept: both }

export const modernVersion = '2026-07-28'
export const envelope = {
  'io.modelcontextprotocol/protocolVersion': modernVersion,
  'io.modelcontextprotocol/clientInfo': { name: 'hostile', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
}

export interface ModernRequest extends Outgoing {
  readonly headers: Record<string, string>
  readonly body: string
}

/** A request of the modern era as it has to be; tests break it from there. */
export function modern(
  method: string,
  params: Readonly<Record<string, unknown>> = {},
  id: unknown = 1,
): ModernRequest {
  const name = params['name'] ?? params['uri']
  return {
    headers: {
      ...jsonHeaders,
      'mcp-protocol-version': modernVersion,
      'mcp-method': method,
      ...(typeof name === 'string' && { 'mcp-name': name }),
    },
    body: JSON.stringify({ jsonrpc: '2.0', id, method, params: { _meta: envelope, ...params } }),
  }
}

export function callTool(
  name: string,
  values: Readonly<Record<string, unknown>> = {},
  id: unknown = 1,
): ModernRequest {
  return modern('tools/call', { name, arguments: values }, id)
}

/** The same request with its body as given: text that `JSON.stringify` would not write. */
export function withBody(request: ModernRequest, body: string | Buffer): Outgoing {
  return { headers: request.headers, body }
}

export interface LegacySession {
  readonly id: string
  readonly url: string
  readonly headers: Record<string, string>
  readonly opened: Answer
  /** Posts a message, or text that is to be one. */
  post(message: unknown, headers?: Record<string, string>): Promise<Answer>
  request(method: string, params?: unknown, id?: unknown): Promise<Answer>
  /** Posts a request whose answer is an event stream. */
  stream(method: string, params?: unknown, id?: unknown): Promise<EventReader>
  listen(headers?: Record<string, string>): Promise<EventReader>
}

export interface OpeningOptions {
  readonly version?: string
  readonly capabilities?: Readonly<Record<string, unknown>>
  readonly headers?: Record<string, string>
}

export function initialize(
  { version = '2025-11-25', capabilities = {} }: OpeningOptions = {},
  id: unknown = 0,
) {
  const clientInfo = { name: 'hostile', version: '1' }
  return {
    jsonrpc: '2.0',
    id,
    method: 'initialize',
    params: { protocolVersion: version, capabilities, clientInfo },
  }
}

export async function openSession(url: string, options: OpeningOptions = {}): Promise<LegacySession> {
  const opened = await send(url, {
    headers: { ...jsonHeaders, ...options.headers },
    body: JSON.stringify(initialize(options)),
  })
  const id = opened.headers['mcp-session-id']
  if (typeof id !== 'string') throw new Error(`no session: HTTP ${opened.status} ${opened.text}`)
  const headers = {
    ...jsonHeaders,
    ...options.headers,
    'mcp-session-id': id,
    'mcp-protocol-version': String(at(opened.json, 'result', 'protocolVersion') ?? '2025-11-25'),
  }
  const textOf = (message: unknown) => (typeof message === 'string' ? message : JSON.stringify(message))
  const session: LegacySession = {
    id,
    url,
    headers,
    opened,
    post: (message, more = {}) => send(url, { headers: { ...headers, ...more }, body: textOf(message) }),
    request: (method, params = {}, requestId = 1) =>
      session.post({ jsonrpc: '2.0', id: requestId, method, params }),
    stream: (method, params = {}, requestId = 1) =>
      openEvents(url, { headers, body: textOf({ jsonrpc: '2.0', id: requestId, method, params }) }),
    listen: (more = {}) =>
      openEvents(url, { method: 'GET', headers: { ...headers, accept: 'text/event-stream', ...more } }),
  }
  await session.post({ jsonrpc: '2.0', method: 'notifications/initialized' })
  return session
}

/** The response in an answer, whichever of the two forms it took. */
export function responseIn(answer: Answer): unknown {
  if (answer.json !== undefined) return answer.json
  const data = answer.text
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line): unknown => JSON.parse(line.slice(6)))
  return data.at(-1)
}

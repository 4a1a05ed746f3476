import { onTestFinished } from 'vitest'

/** A message, or a part of one, as parsed from the wire. */
export type Json = Readonly<Record<string, unknown>>

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The member at a path; `undefined` where there is none. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  let current = value
  for (const key of path) {
    if (Array.isArray(current) && typeof key === 'number') current = current[key]
    else current = isJson(current) ? current[key] : undefined
  }
  return current
}

export function listAt(value: unknown, ...path: readonly (string | number)[]): readonly unknown[] {
  const found = at(value, ...path)
  if (!Array.isArray(found)) throw new Error(`no list at ${path.join('.')} of ${JSON.stringify(value)}`)
  return found
}

/** An HTTP answer while it comes in: one JSON body, or the events of a stream. */
export interface RawStream {
  readonly status: number
  readonly headers: Headers
  readonly messages: readonly Json[]
  /** Ids of events, in order. */
  readonly eventIds: readonly string[]
  readonly text: () => string
  /** Settles when the answer is complete or was given up. */
  readonly ended: Promise<void>
  readonly abort: () => void
}

export interface RawRequest {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export async function open(
  url: string,
  request: RawRequest,
  onMessage?: (message: Json) => void,
): Promise<RawStream> {
  const controller = new AbortController()
  const response = await fetch(url, {
    method: request.method ?? 'POST',
    headers: { ...request.headers },
    ...(request.body !== undefined && { body: request.body }),
    signal: controller.signal,
  })
  const messages: Json[] = []
  const eventIds: string[] = []
  let text = ''
  const take = (data: string) => {
    if (data === '') return
    const value: unknown = JSON.parse(data)
    for (const message of Array.isArray(value) ? value : [value]) {
      if (!isJson(message)) continue
      messages.push(message)
      onMessage?.(message)
    }
  }
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
  const event = (block: string) => {
    const lines = block.split('\n')
    for (const line of lines) if (line.startsWith('id: ')) eventIds.push(line.slice(4))
    take(
      lines
        .filter((line) => line.startsWith('data: '))
        .map((line) => line.slice(6))
        .join('\n'),
    )
  }
  const read = async () => {
    let rest = ''
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) {
      const piece = decoder.decode(chunk, { stream: true })
      text += piece
      if (!isStream) continue
      const blocks = (rest + piece).split('\n\n')
      rest = blocks.pop() ?? ''
      blocks.forEach(event)
    }
    if (!isStream && text.startsWith('{')) take(text)
    else if (!isStream && text.startsWith('[')) take(text)
  }
  const ended = read().catch(() => {})
  onTestFinished(() => controller.abort())
  return {
    status: response.status,
    headers: response.headers,
    messages,
    eventIds,
    text: () => text,
    ended,
    abort: () => controller.abort(),
  }
}

const accept = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

export interface RawSessionOptions {
  readonly capabilities?: Json
  readonly version?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** A client of the legacy era written by hand: what SDKs hide stays visible. */
export class RawSession {
  readonly url: string
  readonly initialized: Json
  /** Everything that came on any stream of this session, answers left out. */
  readonly received: Json[] = []
  readonly headers: Readonly<Record<string, string>>
  /** Called for requests of servers; what it returns is posted as the answer. */
  onRequest: ((message: Json) => Json | undefined) | undefined
  #next = 1

  constructor(url: string, headers: Readonly<Record<string, string>>, initialized: Json) {
    this.url = url
    this.headers = headers
    this.initialized = initialized
  }

  static async open(url: string, options: RawSessionOptions = {}): Promise<RawSession> {
    const version = options.version ?? '2025-11-25'
    const body = JSON.stringify({
      jsonrpc: '2.0',
      id: 'init',
      method: 'initialize',
      params: {
        protocolVersion: version,
        capabilities: options.capabilities ?? {},
        clientInfo: { name: 'raw', version: '1' },
      },
    })
    const answer = await open(url, { headers: { ...accept, ...options.headers }, body })
    await answer.ended
    const id = answer.headers.get('mcp-session-id')
    const initialized = answer.messages.find((message) => 'id' in message)
    if (id === null || initialized === undefined || 'error' in initialized)
      throw new Error(`no session: HTTP ${answer.status} ${answer.text()}`)
    const session = new RawSession(url, { ...options.headers, 'mcp-session-id': id }, initialized)
    await session.notify('notifications/initialized')
    return session
  }

  /** The session id; good for a look at another gateway. */
  get id(): string {
    return this.headers['mcp-session-id'] ?? ''
  }

  nextId(): number {
    return this.#next++
  }

  /** Resolves with the response, even if its stream has to be fetched again. */
  async request(method: string, params: Json = {}, id: string | number = this.nextId()): Promise<Json> {
    const stream = await this.start(method, params, id)
    await stream.ended
    const found = stream.messages.find((message) => message['id'] === id && !('method' in message))
    if (found === undefined)
      throw new Error(`no response to ${method}: HTTP ${stream.status} ${stream.text()}`)
    return found
  }

  start(method: string, params: Json = {}, id: string | number = this.nextId()): Promise<RawStream> {
    return this.post({ jsonrpc: '2.0', id, method, params })
  }

  call(name: string, args: Json = {}, more: Json = {}): Promise<Json> {
    return this.request('tools/call', { name, arguments: args, ...more })
  }

  async notify(method: string, params?: Json): Promise<number> {
    const stream = await this.post({ jsonrpc: '2.0', method, ...(params !== undefined && { params }) })
    await stream.ended
    return stream.status
  }

  /** The GET stream; everything on it goes to `received` as well. */
  listen(lastEventId?: string): Promise<RawStream> {
    const headers = {
      ...this.headers,
      accept: 'text/event-stream',
      ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
    }
    return open(this.url, { method: 'GET', headers }, (message) => this.#take(message))
  }

  async end(): Promise<void> {
    const stream = await open(this.url, { method: 'DELETE', headers: this.headers })
    await stream.ended
  }

  post(message: Json): Promise<RawStream> {
    return open(
      this.url,
      { headers: { ...accept, ...this.headers }, body: JSON.stringify(message) },
      (received) => this.#take(received),
    )
  }

  #take(message: Json): void {
    if (!('method' in message)) return
    this.received.push(message)
    if (!('id' in message)) return
    const answer = this.onRequest?.(message)
    if (answer !== undefined) void this.post({ jsonrpc: '2.0', id: message['id'], ...answer })
  }
}

export const modernMeta: Json = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
}

export interface ModernOptions {
  readonly id?: string | number
  readonly headers?: Readonly<Record<string, string>>
  readonly meta?: Json
}

/** One request of the modern era. */
export function modernStart(
  url: string,
  method: string,
  params: Json = {},
  options: ModernOptions = {},
): Promise<RawStream> {
  const { id = 1, headers = {}, meta = {} } = options
  const name = params['name'] ?? params['uri']
  return open(url, {
    headers: {
      ...accept,
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(typeof name === 'string' && { 'mcp-name': encodeName(name) }),
      ...headers,
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id,
      method,
      params: { ...params, _meta: { ...modernMeta, ...meta } },
    }),
  })
}

export async function modern(
  url: string,
  method: string,
  params: Json = {},
  options: ModernOptions = {},
): Promise<Json & { readonly status: number }> {
  const stream = await modernStart(url, method, params, options)
  await stream.ended
  const response = stream.messages.find((message) => 'result' in message || 'error' in message)
  if (response === undefined)
    throw new Error(`no response to ${method}: HTTP ${stream.status} ${stream.text()}`)
  return { ...response, status: stream.status }
}

function encodeName(name: string): string {
  return /^[\x21-\x7e]+$/.test(name) ? name : `=?base64?${Buffer.from(name).toString('base64')}?=`
}

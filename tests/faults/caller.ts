export type Era = 'legacy' | 'modern'
type Json = Readonly<Record<string, unknown>>

/** How a call ended for its caller. */
export interface Outcome {
  /** Text of the result. */
  readonly text?: string
  /** Code of the gateway's error, or `rpc` with the code of the server's. */
  readonly code?: string
  readonly message?: string
  readonly retrySafe?: boolean
  readonly retryAfterMs?: number
  /** Notifications that came with it. */
  readonly notices: number
}

export interface Caller {
  call(tool: string, args?: Json, options?: CallOptions): Promise<Outcome>
  request(method: string, params?: Json): Promise<Json>
}

export interface CallOptions {
  /** Called with the number of notifications so far; what it returns as true makes the caller lose interest. */
  readonly onNotice?: (count: number) => boolean
}

const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

/** A client of the gateway, by hand: every message that it gets is looked at. */
export async function openCaller(url: string, era: Era): Promise<Caller> {
  return era === 'modern' ? new HandmadeCaller(url, {}) : openSession(url)
}

async function openSession(url: string): Promise<Caller> {
  const params = {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'faults', version: '1' },
  }
  const response = await fetch(url, {
    method: 'POST',
    headers,
    body: JSON.stringify({ jsonrpc: '2.0', id: 'hello', method: 'initialize', params }),
  })
  const text = await response.text()
  const id = response.headers.get('mcp-session-id')
  if (id === null) throw new Error(`no session: HTTP ${response.status} ${text}`)
  const session = { 'mcp-session-id': id, 'mcp-protocol-version': '2025-11-25' }
  const done = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' })
  await fetch(url, { method: 'POST', headers: { ...headers, ...session }, body: done })
  return new HandmadeCaller(url, session)
}

const modernMeta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'faults', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/logLevel': 'debug',
}

class HandmadeCaller implements Caller {
  readonly #url: string
  readonly #session: Readonly<Record<string, string>>
  #next = 1

  constructor(url: string, session: Readonly<Record<string, string>>) {
    this.#url = url
    this.#session = session
  }

  async call(tool: string, args: Json = {}, options: CallOptions = {}): Promise<Outcome> {
    let notices = 0
    const message = await this.#send('tools/call', { name: tool, arguments: args }, () => {
      notices++
      return options.onNotice?.(notices) === true
    })
    if (message === undefined) return { code: 'withdrawn', notices }
    const { result, error } = message
    if (isJson(result)) return { text: textOf(result), notices }
    if (!isJson(error)) throw new Error(`neither result nor error: ${JSON.stringify(message)}`)
    const data = isJson(error['data']) ? error['data'] : {}
    const { code, retrySafe, retryAfterMs } = data
    return {
      code: typeof code === 'string' ? code : `rpc ${String(error['code'])}`,
      message: String(error['message']),
      ...(typeof retrySafe === 'boolean' && { retrySafe }),
      ...(typeof retryAfterMs === 'number' && { retryAfterMs }),
      notices,
    }
  }

  async request(method: string, params: Json = {}): Promise<Json> {
    const message = await this.#send(method, params, () => false)
    if (message === undefined) throw new Error('no answer')
    return message
  }

  /** `undefined` if the caller lost interest. Throws unless exactly one response comes, with the right id. */
  async #send(method: string, params: Json, onNotice: () => boolean): Promise<Json | undefined> {
    const id = this.#next++
    const isModern = this.#session['mcp-session-id'] === undefined
    const body = {
      jsonrpc: '2.0',
      id,
      method,
      params: isModern ? { ...params, _meta: { ...modernMeta, progressToken: id } } : params,
    }
    const modernHeaders = {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(typeof params['name'] === 'string' && { 'mcp-name': params['name'] }),
    }
    const response = await fetch(this.#url, {
      method: 'POST',
      headers: { ...headers, ...(isModern ? modernHeaders : this.#session) },
      body: JSON.stringify(body),
    })
    let found: Json | undefined
    for await (const message of messagesOf(response)) {
      if ('method' in message) {
        if (!onNotice()) continue
        if (!isModern) await this.#cancel(id)
        return undefined
      }
      if (found !== undefined) throw new Error(`two responses to one request: ${JSON.stringify(message)}`)
      if (message['id'] !== id) throw new Error(`the response to another request: ${JSON.stringify(message)}`)
      found = message
    }
    if (found === undefined) throw new Error(`no response to ${method}: HTTP ${response.status}`)
    return found
  }

  async #cancel(requestId: number): Promise<void> {
    const body = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } })
    await fetch(this.#url, { method: 'POST', headers: { ...headers, ...this.#session }, body })
  }
}

async function* messagesOf(response: Response): AsyncGenerator<Json> {
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of response.body ?? []) {
    rest += decoder.decode(chunk, { stream: true })
    if (!isStream) continue
    const blocks = rest.split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const data = block
        .split('\n')
        .filter((line) => line.startsWith('data: '))
        .map((line) => line.slice(6))
        .join('\n')
      if (data !== '') yield parsed(data)
    }
  }
  if (!isStream) yield parsed(rest)
}

function parsed(text: string): Json {
  const value: unknown = JSON.parse(text)
  if (!isJson(value)) throw new Error(`no message: ${text}`)
  return value
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function textOf(result: Json): string {
  const [first]: unknown[] = Array.isArray(result['content']) ? result['content'] : []
  return isJson(first) ? String(first['text']) : ''
}

/** A client of 2025-11-25 in its barest form: one POST per message, so that thousands cost little. */
export interface LegacyClient {
  call(tool: string, toolArguments: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<unknown>
  /** Calls without waiting; `cancel` sends `notifications/cancelled`. */
  start(
    tool: string,
    toolArguments: Readonly<Record<string, unknown>>,
  ): { answer: Promise<unknown>; cancel(): Promise<void> }
  end(): Promise<void>
}

const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

export async function openClient(url: string): Promise<LegacyClient> {
  let sessionId = ''
  let nextId = 1
  const send = async (message: object, signal?: AbortSignal) =>
    fetch(url, {
      method: 'POST',
      headers: sessionId === '' ? JSON_HEADERS : { ...JSON_HEADERS, 'mcp-session-id': sessionId },
      body: JSON.stringify({ jsonrpc: '2.0', ...message }),
      ...(signal !== undefined && { signal }),
    })
  const params = {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'soak', version: '1' },
  }
  const opened = await send({ id: nextId++, method: 'initialize', params })
  await opened.arrayBuffer()
  sessionId = opened.headers.get('mcp-session-id') ?? ''
  if (sessionId === '') throw new Error(`initialize was answered with HTTP ${opened.status} and no session`)
  const note = async (method: string, noteParams?: object) => {
    const answer = await send({ method, ...(noteParams !== undefined && { params: noteParams }) })
    await answer.arrayBuffer()
  }
  await note('notifications/initialized')
  const request = async (id: number, name: string, toolArguments: object, signal?: AbortSignal) => {
    const _meta = { progressToken: 1 }
    const answer = await send(
      { id, method: 'tools/call', params: { name, arguments: toolArguments, _meta } },
      signal,
    )
    return responseOf(await answer.text(), id)
  }
  return {
    call: (tool, toolArguments, signal) => request(nextId++, tool, toolArguments, signal),
    start(tool, toolArguments) {
      const id = nextId++
      const answer = request(id, tool, toolArguments)
      return { answer, cancel: () => note('notifications/cancelled', { requestId: id }) }
    },
    async end() {
      const answer = await fetch(url, { method: 'DELETE', headers: { 'mcp-session-id': sessionId } })
      await answer.arrayBuffer()
    },
  }
}

/** The response in a JSON body or in the last event of a stream; `undefined` if a stream ended without one. */
function responseOf(body: string, id: number): unknown {
  const texts = body.startsWith('{') ? [body] : body.split('\n').filter((line) => line.startsWith('data: {'))
  for (const text of texts) {
    const message: unknown = JSON.parse(text.replace(/^data: /, ''))
    if (typeof message === 'object' && message !== null && 'id' in message && message.id === id)
      return message
  }
  return undefined
}

/** The text of a tool's result. */
export function textOf(response: unknown): string {
  const text = JSON.stringify(response) ?? ''
  return /"text":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? text
}

import { isRecord } from './answer-check.ts'
import { eventsOf } from './event-stream.ts'
import type { HttpConnection } from './http-connection.ts'
import type { HttpResponse } from './response-reader.ts'

export const clientInfo = { name: 'sallyport-benchmark', version: '1.0.0' }
export const initializeParams = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo }

/** What every request of a client of Streamable HTTP carries. */
export function streamableHeaders(token?: string): Map<string, string> {
  return new Map([
    ['content-type', 'application/json'],
    ['accept', 'application/json, text/event-stream'],
    ...(token === undefined ? [] : [['authorization', `Bearer ${token}`] satisfies [string, string]]),
  ])
}

/** The handshake of 2025-11-25; returns the headers that name the session from then on. */
export async function openLegacySession(
  connection: HttpConnection,
  target: URL,
  headers: ReadonlyMap<string, string>,
): Promise<Map<string, string>> {
  const opened = await exchange(
    connection,
    requestText('POST', target, headers, {
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: initializeParams,
    }),
  )
  const identity = new Map([['mcp-protocol-version', String(resultOf(opened).protocolVersion)]])
  const sessionId = opened.headers.get('mcp-session-id')
  if (sessionId !== undefined) identity.set('mcp-session-id', sessionId)
  const initialized = { jsonrpc: '2.0', method: 'notifications/initialized', params: {} }
  const accepted = await exchange(
    connection,
    requestText('POST', target, new Map([...headers, ...identity]), initialized),
  )
  if (accepted.status !== 202)
    throw new Error(`notifications/initialized was answered with ${accepted.status}`)
  return identity
}

export function isEventStream(response: HttpResponse): boolean {
  return response.headers.get('content-type')?.startsWith('text/event-stream') ?? false
}

export function requestText(
  method: string,
  target: URL,
  headers: ReadonlyMap<string, string>,
  message?: object,
): string {
  const body = message ? JSON.stringify(message) : ''
  let text = `${method} ${target.pathname}${target.search} HTTP/1.1\r\nhost: ${target.host}\r\n`
  for (const [name, value] of headers) text += `${name}: ${value}\r\n`
  if (message) text += `content-length: ${Buffer.byteLength(body)}\r\n`
  return `${text}\r\n${body}`
}

/** A response of the handshake, its body copied so that it outlives the callback. */
export function exchange(connection: HttpConnection, request: string): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    connection.send(request, (error, response) => {
      if (error || !response) reject(error ?? new Error('no response'))
      else resolve({ ...response, body: Buffer.from(response.body) })
    })
  })
}

export function resultOf(response: HttpResponse): Record<string, unknown> {
  const text = response.body.toString()
  if (response.status !== 200)
    throw new Error(`the handshake was answered with ${response.status}: ${text.slice(0, 300)}`)
  if (!isEventStream(response)) return resultIn(text)
  const answer = eventsOf(text).find(({ data }) => data.includes('"result"'))
  return resultIn(answer?.data ?? text)
}

export function resultIn(text: string): Record<string, unknown> {
  const answer: unknown = JSON.parse(text)
  if (!isRecord(answer) || !isRecord(answer.result))
    throw new Error(`the handshake was refused: ${text.slice(0, 300)}`)
  return answer.result
}

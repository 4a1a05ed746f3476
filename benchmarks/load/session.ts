import { type Expectation, checkBody, checkMessage, isRecord } from './answer-check.ts'
import { createEventReader } from './event-stream.ts'
import {
  clientInfo,
  exchange,
  initializeParams,
  isEventStream,
  openLegacySession,
  requestText,
  resultIn,
  resultOf,
  streamableHeaders,
} from './handshake.ts'
import { HttpConnection } from './http-connection.ts'
import type { HttpResponse } from './response-reader.ts'

/**
 * How the client talks: sessions of revision 2025-11-25, requests of revision 2026-07-28 that stand alone, or the
 * HTTP+SSE transport of 2024-11-05, which one of the peers still has as its only front.
 */
export type Dialect = 'session' | 'stateless' | 'http+sse'

/** What every call of a job asks for. */
export type Workload = { kind: 'echo'; paddingBytes: number } | { kind: 'tools'; toolCount: number }

export interface SessionOptions {
  url: string
  dialect: Dialect
  workload: Workload
  /** A bearer token of its own for each session. */
  token?: string
}

/** One connection of a client, its handshake behind it. */
export interface Session {
  /**
   * Sends call number `sequence` (each number is used once in a job) and reports what was wrong with its answer, or
   * undefined. One call at a time.
   */
  call(sequence: number, done: (problem: string | undefined) => void): void
  /** Gives up the call in flight, as a client does that has lost patience: its connection is closed, and nothing reported. */
  giveUp(): void
  close(): Promise<void>
}

const modernRevision = '2026-07-28'
/** Ten digits, so that every request of a session has the same length and its head is made once. */
const firstId = 1_000_000_000

export function openSession(options: SessionOptions): Promise<Session> {
  return options.dialect === 'http+sse' ? openEventStreamSession(options) : openStreamableSession(options)
}

async function openStreamableSession({ url, dialect, workload, token }: SessionOptions): Promise<Session> {
  const target = new URL(url)
  const connection = new HttpConnection(target)
  const modern = dialect === 'stateless'
  const headers = streamableHeaders(token)
  const ask = (method: string, id: number) =>
    exchange(
      connection,
      requestText('POST', target, new Map([...headers, ...methodHeaders(modern, method)]), {
        jsonrpc: '2.0',
        id,
        method,
        params: modern ? { _meta: modernMeta } : {},
      }),
    )

  if (modern) {
    headers.set('mcp-protocol-version', modernRevision)
    resultOf(await ask('server/discover', 1))
  } else {
    const identity = await openLegacySession(connection, target, headers)
    for (const [name, value] of identity) headers.set(name, value)
  }
  const tool = echoToolIn(resultOf(await ask('tools/list', 2)))
  const method = workload.kind === 'echo' ? 'tools/call' : 'tools/list'
  const write = createRequestWriter({
    target,
    headers: new Map([
      ...headers,
      ...methodHeaders(modern, method, workload.kind === 'echo' ? tool : undefined),
    ]),
    workload,
    tool,
    modern,
  })
  return {
    call(sequence, done) {
      const expectation = expectationOf(sequence, workload)
      connection.send(write(sequence), (error, response) => {
        done(error ? error.message : checkResponse(response, expectation))
      })
    },
    giveUp: () => connection.abandon(),
    async close() {
      // A peer that starts a child per session keeps it until the session is deleted.
      if (headers.has('mcp-session-id'))
        await exchange(connection, requestText('DELETE', target, headers)).catch(() => undefined)
      connection.close()
    },
  }
}

/** Requests are POSTed on one connection and answered on an event stream that stays open on another. */
async function openEventStreamSession({ url, workload, token }: SessionOptions): Promise<Session> {
  const origin = new URL(url)
  const authorization = new Map(token ? [['authorization', `Bearer ${token}`]] : [])
  let onEvent: (event: { event: string; data: string }) => void = () => undefined
  const readEvents = createEventReader((event) => onEvent(event))
  const stream = new HttpConnection(origin, (chunk) => readEvents(chunk.toString()))
  const connection = new HttpConnection(origin)
  let onStreamLost: (error: Error) => void = () => undefined

  const target = await new Promise<URL>((resolve, reject) => {
    onStreamLost = reject
    onEvent = ({ event, data }) => event === 'endpoint' && resolve(new URL(data, origin))
    stream.send(
      requestText('GET', origin, new Map([...authorization, ['accept', 'text/event-stream']])),
      (error) => {
        onStreamLost(error ?? new Error('the event stream ended'))
      },
    )
  })
  const headers = new Map([...authorization, ['content-type', 'application/json']])

  /** Calls back when the POST was accepted and the answer came on the stream, in whichever order. */
  const call = (request: string, done: (error: Error | undefined, answer: string) => void) => {
    let outstanding = 2
    let answer = ''
    const settle = (error?: Error) => {
      outstanding = error ? 0 : outstanding - 1
      if (outstanding > 0) return
      onEvent = () => undefined
      done(error, answer)
    }
    onStreamLost = settle
    onEvent = ({ data }) => {
      if (data.includes('"method"') && !data.includes('"result"')) return
      answer = data
      settle()
    }
    connection.send(request, (error, response) => {
      if (outstanding === 0) return
      const refused =
        response && response.status >= 300
          ? new Error(`POST was answered with ${response.status}`)
          : undefined
      settle(error ?? refused)
    })
  }
  const ask = (id: number, method: string, params: object) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      call(requestText('POST', target, headers, { jsonrpc: '2.0', id, method, params }), (error, answer) => {
        if (error) reject(error)
        else resolve(resultIn(answer))
      })
    })

  await ask(1, 'initialize', initializeParams)
  await exchange(
    connection,
    requestText('POST', target, headers, { jsonrpc: '2.0', method: 'notifications/initialized' }),
  )
  const tool = echoToolIn(await ask(2, 'tools/list', {}))
  const write = createRequestWriter({ target, headers, workload, tool, modern: false })
  return {
    call(sequence, done) {
      const expectation = expectationOf(sequence, workload)
      call(write(sequence), (error, answer) =>
        done(error ? error.message : checkMessage(answer, expectation)),
      )
    },
    giveUp: () => connection.abandon(),
    async close() {
      onStreamLost = () => undefined
      connection.close()
      stream.close()
    },
  }
}

const modernMeta = {
  'io.modelcontextprotocol/protocolVersion': modernRevision,
  'io.modelcontextprotocol/clientInfo': clientInfo,
  'io.modelcontextprotocol/clientCapabilities': {},
}

function methodHeaders(modern: boolean, method: string, name?: string): [string, string][] {
  if (!modern) return []
  return [
    ['mcp-method', method],
    ...(name === undefined ? [] : [['mcp-name', name] satisfies [string, string]]),
  ]
}

interface RequestWriterOptions {
  target: URL
  headers: ReadonlyMap<string, string>
  workload: Workload
  tool: string
  modern: boolean
}

/** Everything but the id and the message is the same in every call of a session and is put together once. */
function createRequestWriter({
  target,
  headers,
  workload,
  tool,
  modern,
}: RequestWriterOptions): (sequence: number) => string {
  const idMark = firstId
  const messageMark = messageOf(0)
  const meta = modern ? { _meta: modernMeta } : {}
  const [method, params] =
    workload.kind === 'echo'
      ? ['tools/call', { name: tool, arguments: { message: messageMark }, ...meta }]
      : ['tools/list', { ...meta }]
  const whole = requestText('POST', target, headers, { jsonrpc: '2.0', id: idMark, method, params })
  const bodyStart = whole.indexOf('\r\n\r\n')
  const idStart = whole.indexOf(String(idMark), bodyStart)
  const beforeId = whole.slice(0, idStart)
  const afterId = whole.slice(idStart + String(idMark).length)
  if (workload.kind !== 'echo') return (sequence) => beforeId + (firstId + sequence) + afterId
  const messageStart = afterId.indexOf(messageMark)
  const beforeMessage = afterId.slice(0, messageStart)
  const afterMessage = afterId.slice(messageStart + messageMark.length)
  return (sequence) => beforeId + (firstId + sequence) + beforeMessage + messageOf(sequence) + afterMessage
}

function messageOf(sequence: number): string {
  return `message ${firstId + sequence} of a benchmark`
}

function expectationOf(sequence: number, workload: Workload): Expectation {
  const id = firstId + sequence
  return workload.kind === 'echo'
    ? { kind: 'echo', id, message: messageOf(sequence), paddingBytes: workload.paddingBytes }
    : { kind: 'tools', id, toolCount: workload.toolCount }
}

function checkResponse(response: HttpResponse | undefined, expectation: Expectation): string | undefined {
  if (response?.status !== 200)
    return `status ${response?.status}: ${response?.body.toString('utf8', 0, 300)}`
  return checkBody(response.body, isEventStream(response), expectation)
}

/** Gateways put the server's name before the tool's; the tool is called by whatever name they list. */
function echoToolIn(result: Record<string, unknown>): string {
  const names = (Array.isArray(result.tools) ? result.tools : []).map((tool: unknown) =>
    isRecord(tool) ? tool.name : undefined,
  )
  const name = names.find((candidate) => typeof candidate === 'string' && /(^|[^a-z])echo$/i.test(candidate))
  if (typeof name !== 'string') throw new Error(`no echo tool among ${JSON.stringify(names).slice(0, 300)}`)
  return name
}

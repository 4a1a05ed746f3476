import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { onTestFinished } from 'vitest'
import { portOf } from './harness.ts'
import { isJson, type Json } from './raw-client.ts'
import { type Link, paramsOf, Questions, respond, type Script, type Turn } from './scripted-server.ts'

/** One HTTP request as it came in. */
export interface Received {
  readonly httpMethod: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly sessionId: string | undefined
  readonly message: Json | undefined
}

export interface HttpLink extends Link {
  /** Streams of GET requests that are open. */
  readonly streams: Set<ServerResponse>
}

/** A turn over HTTP, and what can be done to its connection. */
export interface HttpTurn extends Turn {
  /** Sends an event with an id, or only an id if there is no message; resolves when it has left. */
  event(id: string, message?: Json, retryMs?: number): Promise<void>
  /** Ends the answer before the response came. */
  endStream(): void
  /** Breaks the connection. */
  drop(): void
}

export interface ScriptedHttp {
  readonly url: string
  readonly port: number
  readonly received: readonly Received[]
  readonly links: ReadonlyMap<string, HttpLink>
  /** Requests whose connection was closed before they were answered. */
  readonly hungUp: readonly Json[]
  /** Messages of one method, in order. */
  messages(method: string): readonly Json[]
  /** The next request of any known session is answered with 404. */
  forgetSessions(): void
  close(): Promise<void>
}

export interface ScriptedHttpOptions {
  /** As in the modern era: there are no sessions, and each request stands alone. */
  readonly stateless?: boolean
  readonly port?: number
  /** Looks at a request first; true if it has answered. */
  readonly intercept?: (
    request: IncomingMessage,
    response: ServerResponse,
    message: Json | undefined,
  ) => boolean
  /** Handles GET requests with `Last-Event-ID`; true if it has answered. */
  readonly resume?: (lastEventId: string, response: ServerResponse, sessionId: string | undefined) => void
}

export function isHttpTurn(turn: Turn): turn is HttpTurn {
  return 'drop' in turn
}

/** Streamable HTTP of 2025-11-25 by hand: sessions, POST and GET streams, and every way to break them. */
export async function startScriptedHttp(
  script: Script,
  options: ScriptedHttpOptions = {},
): Promise<ScriptedHttp> {
  const received: Received[] = []
  const links = new Map<string, HttpLink & { questions: Questions }>()
  const hungUp: Json[] = []
  let counter = 0

  const openLink = (initialize: Json) => {
    const streams = new Set<ServerResponse>()
    const link = {
      id: `session-${process.hrtime.bigint()}-${++counter}`,
      streams,
      received: [],
      initialize,
      questions: new Questions(),
      push(message: Json) {
        for (const each of streams) writeEvent(each, message)
      },
    }
    links.set(link.id, link)
    return link
  }

  const server = createServer((request, response) => {
    void body(request).then((message) => {
      const sessionId = request.headers['mcp-session-id']
      const id = typeof sessionId === 'string' ? sessionId : undefined
      received.push({ httpMethod: request.method ?? '', headers: request.headers, sessionId: id, message })
      if (options.intercept?.(request, response, message) === true) return
      const isInitialize = message?.['method'] === 'initialize'
      const known = id === undefined ? undefined : links.get(id)
      if (id !== undefined && known === undefined) refuse(response, 404, -32001, 'Session not found')
      else if (request.method === 'GET') get(request, response, known)
      else if (request.method === 'DELETE') {
        if (id !== undefined) links.delete(id)
        response.writeHead(200).end()
      } else if (message === undefined) refuse(response, 400, -32700, 'Parse error')
      else if (known === undefined && !isInitialize && options.stateless !== true)
        refuse(response, 400, -32000, 'Bad Request: no session')
      else post(response, message, known ?? openLink(paramsOf(message)), isInitialize)
    })
  })

  const get = (request: IncomingMessage, response: ServerResponse, link: HttpLink | undefined) => {
    const lastEventId = request.headers['last-event-id']
    if (typeof lastEventId === 'string' && options.resume !== undefined) {
      options.resume(lastEventId, response, link?.id)
      return
    }
    stream(response)
    response.flushHeaders()
    link?.streams.add(response)
    response.on('close', () => link?.streams.delete(response))
  }

  const post = (
    response: ServerResponse,
    message: Json,
    link: HttpLink & { questions: Questions },
    isInitialize: boolean,
  ) => {
    link.received.push(message)
    if (!('id' in message) || !('method' in message)) {
      link.questions.answered(message)
      response.writeHead(202).end()
      return
    }
    const send = (sent: Json) => {
      stream(response)
      writeEvent(response, sent)
    }
    const turn: HttpTurn = {
      message,
      method: String(message['method']),
      params: paramsOf(message),
      link,
      send,
      ask: (method, params, id) => link.questions.ask(send, method, params, id),
      silence: () => new Promise(() => {}),
      event(id, sent, retryMs) {
        stream(response)
        if (retryMs !== undefined) response.write(`retry: ${retryMs}\n`)
        const event = `id: ${id}\ndata: ${sent === undefined ? '' : JSON.stringify(sent)}\n\n`
        return new Promise((resolve) => response.write(event, () => resolve()))
      },
      endStream() {
        stream(response)
        response.end()
      },
      drop: () => void response.destroy(),
    }
    response.on('close', () => {
      if (!response.writableFinished) hungUp.push(message)
    })
    void respond(script, turn).then((answer) => {
      if (response.destroyed || response.writableEnded) return
      if (response.headersSent) {
        writeEvent(response, answer)
        response.end()
      } else {
        response.writeHead(200, {
          'content-type': 'application/json',
          ...(isInitialize && { 'mcp-session-id': link.id }),
        })
        response.end(JSON.stringify(answer))
      }
    })
  }

  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve))
  const port = portOf(server.address())
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
    return closing
  }
  onTestFinished(close)
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    port,
    received,
    links,
    hungUp,
    messages: (method) =>
      received.flatMap(({ message }) => (message?.['method'] === method ? [message] : [])),
    forgetSessions: () => {
      for (const link of links.values()) for (const open of link.streams) open.destroy()
      links.clear()
    },
    close,
  }
}

async function body(request: IncomingMessage): Promise<Json | undefined> {
  let whole = ''
  for await (const chunk of request) whole += String(chunk)
  if (whole === '') return undefined
  const value: unknown = JSON.parse(whole)
  return isJson(value) ? value : undefined
}

function stream(response: ServerResponse): void {
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
}

export function writeEvent(response: ServerResponse, message: Json, id?: string): void {
  response.write(`${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(message)}\n\n`)
}

export function refuse(response: ServerResponse, status: number, code: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code, message } }))
}

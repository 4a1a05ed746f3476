import { type Server, type ServerResponse, createServer } from 'node:http'
import { type EchoProtocolOptions, createEchoProtocol } from '../upstreams/echo-protocol.ts'

export interface EchoServer extends AsyncDisposable {
  url: string
  calls: number
}

export interface EchoServerOptions {
  era?: EchoProtocolOptions['era']
  /** Stands between an answer and its sending; `call` counts calls of tools from 1. */
  send?: (response: ServerResponse, text: string, call: number) => void
}

/** An echo server inside the test, whose answers the test may hold back or change. */
export async function startEchoServer({
  era = 'both',
  send = sendJson,
}: EchoServerOptions = {}): Promise<EchoServer> {
  const respond = createEchoProtocol({ era, paddingBytes: 0, toolCount: 1 })
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (part: Buffer) => (body += part.toString()))
    request.on('end', () => {
      const answer = body === '' ? undefined : respond(JSON.parse(body))
      if (!answer) return void response.writeHead(202, { 'content-length': 0 }).end()
      if (!body.includes('"tools/call"')) return sendJson(response, answer.text)
      started.calls += 1
      send(response, answer.text, started.calls)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const started: EchoServer = {
    url: `http://127.0.0.1:${portOf(server)}/mcp`,
    calls: 0,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return started
}

export function sendJson(response: ServerResponse, text: string): void {
  response
    .writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    .end(text)
}

function portOf(server: Server): number {
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('the server does not listen')
  return address.port
}

import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import { type Dispatcher, Pool } from 'undici'
import { endToEnd } from './end-to-end-headers.ts'

/**
 * The yardstick for answers that are event streams: the bare proxy, except that each part of an answer goes to the client
 * when it comes. `node stream-proxy.ts PORT UPSTREAM_ORIGIN`
 */
const [port = '0', origin = ''] = process.argv.slice(2)
const pool = new Pool(origin, { connections: 256, pipelining: 1 })

const server = createServer((request, response) => {
  if (request.method !== 'POST' && request.method !== 'DELETE') {
    response.writeHead(405).end()
    return
  }
  const { method } = request
  const parts: Buffer[] = []
  request.on('data', (part: Buffer) => parts.push(part))
  request.on('end', () => forward(request, response, method, parts))
})
server.keepAliveTimeout = 120_000
server.listen(Number(port), '127.0.0.1', () => {
  const address = server.address()
  const listening = typeof address === 'object' && address ? address.port : 0
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${listening}/mcp` })}\n`)
})

function forward(
  request: IncomingMessage,
  response: ServerResponse,
  method: 'POST' | 'DELETE',
  parts: Buffer[],
): void {
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart() {},
    onResponseStart(_controller, statusCode, responseHeaders) {
      response.writeHead(statusCode, endToEnd(responseHeaders))
    },
    onResponseData(controller, chunk) {
      if (response.write(chunk)) return
      controller.pause()
      response.once('drain', () => controller.resume())
    },
    onResponseEnd() {
      response.end()
    },
    onResponseError() {
      if (response.headersSent) response.destroy()
      else response.writeHead(502).end()
    },
  }
  const body = parts.length === 1 ? parts[0] : Buffer.concat(parts)
  pool.dispatch(
    {
      path: request.url ?? '/',
      method,
      headers: endToEnd(request.headers),
      body: body?.length ? body : null,
    },
    handler,
  )
}

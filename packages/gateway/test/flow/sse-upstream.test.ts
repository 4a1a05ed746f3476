import { createServer, type ServerResponse } from 'node:http'
import { describe, expect, it, onTestFinished } from 'vitest'
import { portOf, startGateway, until } from './harness.ts'
import { at, isJson, RawSession } from './raw-client.ts'

/** The transport of 2024-11-05 by hand. It takes calls of the tool `t` and never answers them. */
async function startSse() {
  let stream: ServerResponse | undefined
  const calls: unknown[] = []
  const say = (message: object) => stream?.write(`event: message\ndata: ${JSON.stringify(message)}\n\n`)
  const server = createServer((request, response) => {
    if (request.method === 'GET') {
      stream = response
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('event: endpoint\ndata: /message\n\n')
      return
    }
    let body = ''
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString()
    })
    request.on('end', () => {
      response.writeHead(202, { connection: 'close' }).end()
      const message: unknown = JSON.parse(body)
      if (!isJson(message)) return
      const { id, method } = message
      if (method === 'tools/call') calls.push(message)
      else if (method === 'initialize')
        say({
          jsonrpc: '2.0',
          id,
          result: {
            protocolVersion: '2024-11-05',
            capabilities: { tools: {} },
            serverInfo: { name: 's', version: '1' },
          },
        })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => server.closeAllConnections())
  return {
    url: `http://127.0.0.1:${portOf(server.address())}/sse`,
    calls,
    stopListening: () => server.close(),
  }
}

describe('a server over HTTP+SSE', () => {
  it('that takes no messages any more may be at work on those it took', async () => {
    const server = await startSse()
    const { at: path } = await startGateway({ servers: { s: { url: server.url, transport: 'sse' } } })
    const session = await RawSession.open(path('s'))
    const first = session.call('t')
    await until(() => expect(server.calls.length).toBe(1))
    // its event stream stays open
    server.stopListening()
    await session.call('t')
    expect(at(await first, 'error', 'data')).toEqual({ code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: false })
    expect(at(await first, 'error', 'message')).toMatch(
      /^server "s": takes no messages any more: cannot be reached/,
    )
  })
})

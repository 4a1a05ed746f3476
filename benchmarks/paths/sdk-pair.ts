import { randomUUID } from 'node:crypto'
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { NodeStreamableHTTPServerTransport } from '@modelcontextprotocol/node'
import { isInitializeRequest, Server } from '@modelcontextprotocol/server'

/**
 * What one writes first when one writes a gateway: for each session a server of the MCP SDK towards the client and a client
 * of it towards the upstream, each request handed from one to the other. `node sdk-pair.ts PORT UPSTREAM_URL`
 */
const [port = '0', upstreamUrl = ''] = process.argv.slice(2)
const identity = { name: 'sdk-pair', version: '1.0.0' }
const sessions = new Map<string, NodeStreamableHTTPServerTransport>()

const http = createServer((request, response) => {
  const parts: Buffer[] = []
  request.on('data', (part: Buffer) => parts.push(part))
  request.on('end', () => {
    const text = Buffer.concat(parts).toString()
    const body: unknown = text === '' ? undefined : JSON.parse(text)
    handle(request, response, body).catch(() => response.destroy())
  })
})
http.keepAliveTimeout = 120_000
http.listen(Number(port), '127.0.0.1', () => {
  const address = http.address()
  const listening = typeof address === 'object' && address ? address.port : 0
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${listening}/mcp` })}\n`)
})

async function handle(request: IncomingMessage, response: ServerResponse, body: unknown): Promise<void> {
  const id = request.headers['mcp-session-id']
  const known = typeof id === 'string' ? sessions.get(id) : undefined
  if (!known && !isInitializeRequest(body)) {
    response.writeHead(404).end()
    return
  }
  await (known ?? (await openPair())).handleRequest(request, response, body)
}

async function openPair(): Promise<NodeStreamableHTTPServerTransport> {
  const client = new Client(identity)
  await client.connect(new StreamableHTTPClientTransport(new URL(upstreamUrl)))
  const server = new Server(identity, { capabilities: client.getServerCapabilities() ?? {} })
  server.setRequestHandler('tools/list', ({ params }) => client.listTools(params))
  server.setRequestHandler('tools/call', ({ params }) => client.callTool(params))
  const transport = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    // Plain JSON, where the SDK would open an event stream per answer: its best case.
    enableJsonResponse: true,
    onsessioninitialized: (id) => void sessions.set(id, transport),
    onsessionclosed(id) {
      sessions.delete(id)
      void client.close()
    },
  })
  await server.connect(transport)
  return transport
}

// @ts-check
// mcp-proxy in front of an HTTP server: its command only starts stdio servers, so this does what its command does with its
// own library, one upstream client for all sessions included. `node mcp-proxy-http.mjs PORT UPSTREAM_URL`
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { Server } from '@modelcontextprotocol/server'
import { proxyServer, startHTTPServer } from 'mcp-proxy'

const [port = '0', upstreamUrl = ''] = process.argv.slice(2)
const client = new Client({ name: 'mcp-proxy', version: '1.0.0' }, { capabilities: {} })
await client.connect(new StreamableHTTPClientTransport(new URL(upstreamUrl)))
const serverCapabilities = client.getServerCapabilities() ?? {}

await startHTTPServer({
  // As in front of stdio: without what these clients do not use.
  eventStore: false,
  modern: false,
  sseEndpoint: null,
  host: '127.0.0.1',
  port: Number(port),
  async createServer() {
    const server = new Server(client.getServerVersion() ?? { name: 'mcp-proxy', version: '1.0.0' }, {
      capabilities: serverCapabilities,
    })
    await proxyServer({ client, server, serverCapabilities })
    return server
  },
})

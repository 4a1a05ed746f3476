import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio'
import { createServerFactory } from './fixture-server.ts'
import { type UpstreamEra, UpstreamState } from './upstream-state.ts'

export interface StdioUpstreamOptions {
  era: UpstreamEra
  name: string
  pageSize?: number
}

/** Serves MCP over this process's standard streams until stdin ends. */
export async function serveStdioUpstream({ era, name, pageSize }: StdioUpstreamOptions): Promise<void> {
  const state = new UpstreamState('stdio')
  const createMcpServer = createServerFactory({ state, name, ...(pageSize !== undefined && { pageSize }) })
  const createConnected = () => {
    const server = createMcpServer()
    state.connect(server)
    return server
  }
  if (era === 'legacy') {
    // Connected by hand it knows no other era: server/discover is an unknown method, as with published servers.
    await createConnected().connect(new StdioServerTransport())
    return
  }
  serveStdio(createConnected, { legacy: era === 'dual' ? 'serve' : 'reject' })
}

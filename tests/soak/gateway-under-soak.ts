import { createServer } from 'node:http'
import type { ServerDefinition } from '@sallyport/core'
import { createGateway, type GatewayLimits } from '@sallyport/gateway'
import { nodeHandler } from '@sallyport/gateway/node'

export interface GatewayUnderSoak {
  readonly url: string
  close(): Promise<void>
}

/** A gateway on a free port of the loopback interface. */
export async function startGateway(
  servers: Readonly<Record<string, ServerDefinition>>,
  limits: Partial<GatewayLimits> = {},
): Promise<GatewayUnderSoak> {
  const gateway = createGateway({ servers, limits })
  await gateway.ready()
  const server = createServer(nodeHandler(gateway))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('the gateway does not listen')
  return {
    url: `http://127.0.0.1:${address.port}/mcp`,
    async close() {
      await gateway.close({ deadlineMs: 2_000 })
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

import { createServer, type Server, type ServerOptions } from 'node:http'
import type { Authenticator, Logger, Principal } from '@sallyport/core'
import { createGateway, type Gateway, type GatewayOptions } from '../../src/index.ts'
import { nodeHandler } from '../../src/node/index.ts'

export interface RunningGateway {
  readonly gateway: Gateway
  readonly server: Server
  readonly port: number
  readonly origin: string
  /** The aggregated endpoint. */
  readonly url: string
  at(server: string): string
  close(): Promise<void>
}

/** A gateway on a free port of this machine, as an application would mount it. */
export async function startGateway(
  options: GatewayOptions,
  serverOptions: ServerOptions = {},
): Promise<RunningGateway> {
  const gateway = createGateway(options)
  const server = createServer(serverOptions, nodeHandler(gateway))
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
  const origin = `http://127.0.0.1:${port}`
  return {
    gateway,
    server,
    port,
    origin,
    url: `${origin}/mcp`,
    at: (name) => `${origin}/mcp/${name}`,
    async close() {
      await gateway.close({ deadlineMs: 0 })
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    },
  }
}

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: unknown
}

export function collectingLogger(): Logger & { readonly lines: readonly LogLine[] } {
  const lines: LogLine[] = []
  const write = (level: string) => (message: string, fields?: unknown) =>
    void lines.push({ level, message, fields })
  return { lines, debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

/** Believes whoever says who he is in `X-Subject`: tests need several callers, not proofs. */
export function namedCallers(more: Partial<Authenticator> = {}): Authenticator {
  const known = new Map<string, Principal>()
  return {
    authenticate({ headers }) {
      const subject = headers['x-subject']
      if (typeof subject !== 'string') return { status: 401 }
      const principal = known.get(subject) ?? { tenant: 'test', subject, roles: [], scopes: [] }
      known.set(subject, principal)
      return principal
    },
    ...more,
  }
}

import { createServer, type Server, type ServerOptions } from 'node:http'
import type { AuditRecorder, Authenticator, Logger, Principal } from '@sallyport/core'
import { createGateway, type Gateway, type GatewayOptions } from '../../src/index.ts'
import { nodeHandler } from '../../src/node/index.ts'
import { at, type Answer, send } from './client.ts'
import { modern, openSession } from './messages.ts'
import { type Exchange, type HandmadeUpstream, startHandmade } from './upstream.ts'

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

export const tokenMetadata = { authorizationServers: ['https://login.example.com'], scopesSupported: ['mcp'] }

/** A gateway as it is on this machine, and one as it is behind a public name, in front of the same two servers. */
export async function startLocalAndPublished() {
  const server = await startHandmade()
  const legacyServer = await startHandmade({ era: 'legacy' })
  const servers = () => ({ m: { url: server.url }, l: { url: legacyServer.url } })
  const authenticate = namedCallers({ metadata: tokenMetadata })
  const local = await startGateway({ servers: servers(), authenticate })
  const published = await startGateway({
    servers: servers(),
    publicUrl: 'https://mcp.example.com/gate/mcp',
    allowedOrigins: ['https://app.example.com'],
    allowedHosts: ['internal.example.com:8443'],
    authenticate,
  })
  const close = async () => {
    await local.close()
    await published.close()
    await server.close()
    await legacyServer.close()
  }
  return { server, legacyServer, servers, local, published, close }
}

export interface PlannedServers {
  readonly modernServer: HandmadeUpstream
  readonly legacyServer: HandmadeUpstream
  readonly running: RunningGateway
  /** What the servers do next, by tool. */
  readonly plan: Map<string, (exchange: Exchange) => void>
  /** A name for a tool that no other test has. */
  nextCase(): string
  /** Calls a tool that does this. */
  answered(action: (exchange: Exchange) => void, more?: Record<string, unknown>): Promise<Answer>
  /** The same in a legacy session. */
  answeredInSession(action: (exchange: Exchange) => void): Promise<Answer>
  close(): Promise<void>
}

/** A gateway in front of two servers, one of each era, that do what a test has planned. */
export async function startPlanned(): Promise<PlannedServers> {
  const plan = new Map<string, (exchange: Exchange) => void>()
  const act = (exchange: Exchange) => {
    const name = String(at(exchange.message, 'params', 'name'))
    const planned = plan.get(name)
    if (planned !== undefined) planned(exchange)
    else if (at(exchange.message, 'id') === undefined) exchange.response.writeHead(202).end()
    else exchange.result({ ok: name })
  }
  const modernServer = await startHandmade({ handle: act })
  const legacyServer = await startHandmade({ era: 'legacy', handle: act })
  const running = await startGateway({
    servers: { m: { url: modernServer.url }, l: { url: legacyServer.url } },
    // servers that do nothing but fail would be left alone
    limits: { answerBytes: 1024 * 1024, pageItems: 10, listMs: 2_000, breakerFailures: 1_000_000 },
  })
  await running.gateway.ready()
  let counter = 0
  const nextCase = () => `case${++counter}`
  return {
    modernServer,
    legacyServer,
    running,
    plan,
    nextCase,
    answered(action, more = {}) {
      const name = nextCase()
      plan.set(name, action)
      return send(running.at('m'), modern('tools/call', { name, arguments: {}, ...more }))
    },
    async answeredInSession(action) {
      const name = nextCase()
      const session = await openSession(running.at('l'))
      plan.set(name, action)
      return session.request('tools/call', { name })
    },
    async close() {
      await running.close()
      await modernServer.close()
      await legacyServer.close()
    },
  }
}

/** A gateway for several callers in front of two legacy servers. */
export async function startForSessions(audit: AuditRecorder) {
  const server = await startHandmade({ era: 'legacy' })
  const other = await startHandmade({ era: 'legacy' })
  const running = await startGateway({
    servers: { l: { url: server.url }, o: { url: other.url } },
    authenticate: namedCallers(),
    audit,
  })
  await running.gateway.ready()
  const close = async () => {
    await running.close()
    await server.close()
    await other.close()
  }
  return { server, other, running, close }
}

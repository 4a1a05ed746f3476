import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Client, type ClientOptions, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as StreamableHTTPClientTransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { ClientCapabilities } from '@modelcontextprotocol/sdk/types.js'
import type { Authenticator, Logger, StdioServerDefinition } from '@sallyport/core'
import { type McpUpstream, type McpUpstreamOptions, startMcpUpstream } from '@sallyport/fake-mcp-upstream'
import { onTestFinished, vi } from 'vitest'
import { createGateway, type Gateway, type GatewayOptions } from '../../src/index.ts'
import { nodeHandler } from '../../src/node/index.ts'

const mainFile = fileURLToPath(import.meta.resolve('@sallyport/fake-mcp-upstream/main'))

export interface RunningGateway {
  readonly gateway: Gateway
  /** The aggregated endpoint. */
  readonly url: string
  /** A server's own path. */
  readonly at: (server: string) => string
  /** What the gateway logged, one line each. */
  readonly log: readonly string[]
}

/** A gateway on a port of its own; it ends with the test. */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const log: string[] = []
  const gateway = createGateway({ logger: collectingLogger(log), ...options })
  const server = createServer(nodeHandler(gateway))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    await gateway.close({ deadlineMs: 0 })
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const url = `http://127.0.0.1:${portOf(server.address())}/mcp`
  return { gateway, url, at: (name) => `${url}/${encodeURIComponent(name)}`, log }
}

export function portOf(address: AddressInfo | string | null): number {
  if (typeof address !== 'object' || address === null) throw new Error('the server has no port')
  return address.port
}

function collectingLogger(lines: string[]): Logger {
  const log = (message: string, fields?: Readonly<Record<string, unknown>>) =>
    void lines.push(fields === undefined ? message : `${message} ${JSON.stringify(fields)}`)
  return { debug: log, info: log, warn: log, error: log }
}

/** The fixture over HTTP; it ends with the test. */
export async function startFixture(options: McpUpstreamOptions = {}): Promise<McpUpstream> {
  const upstream = await startMcpUpstream(options)
  onTestFinished(() => upstream.close())
  return upstream
}

/** The fixture as a child process. */
export function stdioFixture(era: 'legacy' | 'modern' | 'dual', ...more: string[]): StdioServerDefinition {
  return { command: process.execPath, args: [mainFile, '--stdio', '--era', era, ...more] }
}

/** `Authorization: Bearer <tenant>/<subject>`, believed. */
export const believing: Authenticator = {
  authenticate({ headers }) {
    const [, tenant, subject] = /^Bearer ([^/]+)\/(.+)$/.exec(String(headers['authorization'])) ?? []
    if (tenant === undefined || subject === undefined) return { status: 401 }
    return { tenant, subject, roles: [], scopes: [] }
  },
}

export function bearer(who: string): Record<string, string> {
  return { authorization: `Bearer ${who}` }
}

const info = { name: 'flow-test', version: '1.0.0' }

export interface ConnectOptions {
  readonly capabilities?: ClientCapabilities
  readonly headers?: Record<string, string>
  /** Before the client connects, so that handlers are there from the first message on. */
  readonly prepare?: (client: ClientV1) => void
}

/** A client of SDK v1. */
export async function connectV1(url: string, options: ConnectOptions = {}): Promise<ClientV1> {
  const client = new ClientV1(info, { capabilities: options.capabilities ?? {} })
  options.prepare?.(client)
  await client.connect(
    new StreamableHTTPClientTransportV1(new URL(url), {
      requestInit: { headers: options.headers ?? {} },
      reconnectionOptions: {
        initialReconnectionDelay: 20,
        maxReconnectionDelay: 100,
        reconnectionDelayGrowFactor: 1.5,
        maxRetries: 20,
      },
    }),
  )
  onTestFinished(() => client.close())
  return client
}

/** A client of SDK v2; `modern` speaks 2026-07-28 or nothing. */
export async function connectV2(
  url: string,
  mode: 'modern' | 'auto' | 'legacy',
  options: ClientOptions & { headers?: Record<string, string>; prepare?: (client: Client) => void } = {},
): Promise<Client> {
  const { headers = {}, prepare, ...rest } = options
  const client = new Client(info, {
    ...rest,
    versionNegotiation: { mode: mode === 'modern' ? { pin: '2026-07-28' } : mode },
  })
  prepare?.(client)
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }))
  onTestFinished(() => client.close())
  return client
}

/** The text of a tool result, whichever SDK produced it. */
export function textOf(result: object): string {
  const content: unknown = 'content' in result ? result.content : undefined
  const first: unknown = Array.isArray(content) ? content[0] : undefined
  if (typeof first === 'object' && first !== null && 'text' in first) return String(first.text)
  throw new Error(`not a text result: ${JSON.stringify(result)}`)
}

/** Waits until `check` does not throw any more. */
export function until<T>(check: () => T | Promise<T>, timeoutMs = 5_000): Promise<T> {
  return vi.waitFor(check, { timeout: timeoutMs, interval: 10 })
}

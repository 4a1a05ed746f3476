import {
  type AuditRecorder,
  type Authenticator,
  ConfigError,
  type GatewayInterceptor,
  type Logger,
  type McpSessionStore,
  type RateLimiter,
  type ServerDefinition,
  type ServerRegistry,
  type ServerRuntime,
  type UpstreamCredentials,
} from '@sallyport/core'
import { z } from 'zod'
import type { ToolsetOptions } from './aggregate/toolset.ts'
import { plainIssues, strict } from './config/plain-issues.ts'
import { functionPort, interceptor, port } from './config/port-issues.ts'
import { serverIssues } from './config/server-issues.ts'
import { isHost } from './front/host-check.ts'
import { policyIssues, rateLimitIssues, toolsetIssues } from './policy/access-issues.ts'
import type { PolicyEntry } from './policy/policy.ts'
import type { RateLimitOptions } from './policy/rate-gate.ts'

export interface GatewayOptions {
  /** The MCP servers: fixed, or a registry that tells when they change. */
  readonly servers: Readonly<Record<string, ServerDefinition>> | ServerRegistry
  /**
   * URL of the aggregated endpoint as clients see it, such as `https://mcp.example.com/mcp`. Each server alone is at
   * `<publicUrl>/<name>`. Without it the path is `/mcp` and the origin is taken from the request, which is only done for
   * loopback hosts.
   */
  readonly publicUrl?: string
  /** Who may call. Default: anyone on this machine, nobody else. */
  readonly authenticate?: Authenticator
  /** Default: nothing is recorded. */
  readonly audit?: AuditRecorder
  readonly credentials?: UpstreamCredentials
  /**
   * Who may see and use what: rules of `allow` and `deny`, a policy of your own, or several of both. What is not allowed is denied.
   * Default: whoever is let in may do everything.
   */
  readonly policy?: PolicyEntry | readonly PolicyEntry[]
  /** How often callers may do what. Default: as often as they like. */
  readonly rateLimits?: readonly RateLimitOptions[]
  /** Where `rateLimits` are counted. Default: in memory, for this process alone. */
  readonly rateLimiter?: RateLimiter
  /** Parts of several servers under URLs of their own, by name: `<publicUrl>/toolsets/<name>`. */
  readonly toolsets?: Readonly<Record<string, ToolsetOptions>>
  /** On the way of each message, in this order. */
  readonly interceptors?: readonly GatewayInterceptor[]
  /** How stdio servers are started. Default: as child processes. */
  readonly runtime?: ServerRuntime
  /** Where legacy sessions are remembered beyond this process. Default: in memory. */
  readonly sessions?: McpSessionStore
  /** Browser origins that may call, beside the gateway's own and loopback ones. */
  readonly allowedOrigins?: readonly string[]
  /** Values of `Host` that are accepted, beside that of `publicUrl` and loopback ones. */
  readonly allowedHosts?: readonly string[]
  /** How the gateway introduces itself on the aggregated endpoint. */
  readonly serverInfo?: { readonly name: string; readonly version: string }
  readonly limits?: Partial<GatewayLimits>
  readonly logger?: Logger
  /** Clock in milliseconds since the epoch. */
  readonly now?: () => number
}

/** All limits and their defaults, see {@link defaultLimits}. Times are in milliseconds, sizes in bytes. */
export interface GatewayLimits {
  /** Size of a message from a client. */
  readonly bodyBytes: number
  /** Names and values of a request's headers together. */
  readonly headerBytes: number
  /** Nesting of a message from a client. */
  readonly depth: number
  /** Size of one message from a server. */
  readonly answerBytes: number
  /** What may wait for a client that reads slowly, per stream. */
  readonly bufferedBytes: number
  /** Calls that one caller may have open; subscriptions are counted as streams. */
  readonly callsPerPrincipal: number
  /** Calls that all callers of one tenant may have open together. */
  readonly callsPerTenant: number
  /** What may wait in memory for all clients of one caller that read slowly. */
  readonly waitingBytesPerPrincipal: number
  /** The same for all clients of the process. */
  readonly waitingBytes: number
  /** A client for which something waits and that takes no byte of it for so long is cut off. */
  readonly stalledWriteMs: number
  /** Event streams that one caller may hold open. */
  readonly streamsPerPrincipal: number
  /** Legacy sessions that one caller may have. */
  readonly sessionsPerPrincipal: number
  /** A legacy session that is not used ends after this. */
  readonly sessionIdleMs: number
  /** A call without any sign of life from the server. */
  readonly callMs: number
  /** Asking a server what it speaks. */
  readonly probeMs: number
  /** How long a list on the aggregated endpoint waits for one server. */
  readonly listMs: number
  /** A shared child process that nobody uses is stopped after this. */
  readonly idleProcessMs: number
  /**
   * The same in the modern era, longer: a server may have put a key of this process into a `requestState` that comes back
   * only when a person has answered.
   */
  readonly idleModernProcessMs: number
  /** Sessions with one server of the legacy era that are open on behalf of clients of the modern one. */
  readonly pooledSessions: number
  /** Those of one caller. */
  readonly pooledSessionsPerPrincipal: number
  /** Such a session that no call uses ends after this. */
  readonly pooledSessionIdleMs: number
  /** Calls that wait for a client of the modern era to come back with the answers to a server's questions. */
  readonly parkedCalls: number
  /** Those of one caller. */
  readonly parkedCallsPerPrincipal: number
  /** How long such a call waits; the server's own patience, and `callMs`, may end it before. */
  readonly parkedCallMs: number
  /** Child processes of one server that belong to single callers or sessions. */
  readonly processesPerServer: number
  /** The same of one caller, over all servers. */
  readonly processesPerPrincipal: number
  /** The same of one tenant, over all servers. */
  readonly processesPerTenant: number
  /** HTTP connections to one server. */
  readonly connectionsPerServer: number
  /** Calls that one server works on at the same time. */
  readonly callsPerServer: number
  /** Calls that wait for one of those to end. */
  readonly queuedCallsPerServer: number
  /** How long a call waits there. */
  readonly queueMs: number
  /** Failures of a server, with no answer in between, after which it is left alone for a while. */
  readonly breakerFailures: number
  /** For how long, the first time; doubled each time that it fails again. */
  readonly breakerMs: number
  /** For how long at most. */
  readonly longestBreakerMs: number
  /** Time until a process that keeps ending before it has answered a call is started again; doubled each time. */
  readonly restartMs: number
  /** The longest such time. */
  readonly longestRestartMs: number
  /** Definitions in one page of an aggregated list. */
  readonly pageItems: number
  /** Events kept for a client that lost its connection, per stream. */
  readonly replayEvents: number
  /** Bytes of such events, over all sessions of one caller. */
  readonly replayBytesPerPrincipal: number
  /** The same for the process. */
  readonly replayBytes: number
  /** How long a client of the legacy era may take to answer what a server of the modern era asks in one round. */
  readonly inputRoundMs: number
}

export const defaultLimits: GatewayLimits = {
  bodyBytes: 4 * 1024 * 1024,
  headerBytes: 16 * 1024,
  depth: 128,
  answerBytes: 64 * 1024 * 1024,
  bufferedBytes: 16 * 1024 * 1024,
  waitingBytesPerPrincipal: 128 * 1024 * 1024,
  waitingBytes: 512 * 1024 * 1024,
  stalledWriteMs: 30_000,
  callsPerPrincipal: 200,
  callsPerTenant: 2_000,
  streamsPerPrincipal: 100,
  sessionsPerPrincipal: 10_000,
  sessionIdleMs: 30 * 60_000,
  callMs: 5 * 60_000,
  probeMs: 10_000,
  listMs: 10_000,
  idleProcessMs: 60_000,
  idleModernProcessMs: 30 * 60_000,
  pooledSessions: 1_000,
  pooledSessionsPerPrincipal: 100,
  pooledSessionIdleMs: 60_000,
  parkedCalls: 1_000,
  parkedCallsPerPrincipal: 100,
  parkedCallMs: 5 * 60_000,
  processesPerServer: 200,
  processesPerPrincipal: 32,
  processesPerTenant: 100,
  connectionsPerServer: 256,
  callsPerServer: 256,
  queuedCallsPerServer: 1_000,
  queueMs: 10_000,
  breakerFailures: 5,
  breakerMs: 1_000,
  longestBreakerMs: 30_000,
  restartMs: 500,
  longestRestartMs: 30_000,
  pageItems: 1_000,
  replayEvents: 256,
  replayBytesPerPrincipal: 64 * 1024 * 1024,
  replayBytes: 256 * 1024 * 1024,
  inputRoundMs: 10 * 60_000,
}

const positive = z.number().int().positive()
const limits = strict(
  Object.fromEntries(Object.keys(defaultLimits).map((name) => [name, positive.optional()])),
)

const publicUrl = z
  .url({
    protocol: /^https?$/,
    error: 'expected an absolute http or https URL, such as https://mcp.example.com/mcp',
  })
  .refine((url) => !/[?#]/.test(url), 'must not have a query or a fragment')
const origin = z
  .url({ error: 'expected an origin, such as https://app.example.com' })
  .refine(
    (url) => !/^https?:/i.test(url) || new URL(url).origin === url,
    'expected scheme, host and port as browsers send them, such as https://app.example.com, and no path',
  )
const host = z
  .string()
  .refine(isHost, 'expected a host and perhaps a port, such as mcp.example.com or mcp.example.com:8443')

const options = strict({
  servers: z.unknown().optional(),
  publicUrl: publicUrl.optional(),
  authenticate: port('authenticate'),
  audit: port('begin'),
  credentials: port('get'),
  policy: z.unknown().optional(),
  rateLimits: z.unknown().optional(),
  rateLimiter: port('consume'),
  toolsets: z.unknown().optional(),
  interceptors: z.array(interceptor).readonly().optional(),
  runtime: port('start'),
  sessions: port('put', 'get', 'update', 'delete'),
  allowedOrigins: z.array(origin).readonly().optional(),
  allowedHosts: z.array(host).readonly().optional(),
  serverInfo: strict({ name: z.string().min(1), version: z.string().min(1) }).optional(),
  limits: limits.optional(),
  logger: port('debug', 'info', 'warn', 'error'),
  now: functionPort,
} satisfies Record<keyof GatewayOptions, z.ZodType>)

/** Throws a {@link ConfigError} that names every mistake. */
export function checkOptions(given: GatewayOptions): void {
  if (typeof given !== 'object' || given === null) {
    const message = "expected options, such as createGateway({ servers: { files: { command: 'node' } } })"
    throw new ConfigError([{ path: '', message }])
  }
  const issues = plainIssues(options.safeParse(given), '')
  const registry = isRegistry(given.servers)
  if (!registry) issues.push(...serverIssues(given.servers))
  // what a registry will hold, nobody knows yet
  const servers = registry ? undefined : Object.keys(given.servers ?? {})
  issues.push(
    ...policyIssues(given.policy, servers),
    ...rateLimitIssues(given.rateLimits, servers),
    ...toolsetIssues(given.toolsets, servers),
  )
  if (issues.length > 0) throw new ConfigError(issues)
}

export function isRegistry(servers: unknown): servers is ServerRegistry {
  if (typeof servers !== 'object' || servers === null || !('list' in servers && 'watch' in servers))
    return false
  return typeof servers.list === 'function' && typeof servers.watch === 'function'
}

import {
  type HttpServerDefinition,
  isStdioServer,
  type Logger,
  type NamedServer,
  type RequestContext,
  SallyportError,
  type ServerDefinition,
  type ServerRuntime,
  type StdioServerDefinition,
  type UpstreamCredentials,
  UpstreamError,
} from '@sallyport/core'
import type { GatewayLimits } from '../gateway-options.ts'
import type { EraAnswer, EraVerdict } from './era.ts'
import { HttpClient } from './http-client.ts'
import { LegacyHttpTransport } from './legacy-http-transport.ts'
import { LegacySseTransport } from './legacy-sse-transport.ts'
import type { LegacyTransport, LegacyTransportOwner } from './legacy-transport.ts'
import { ModernHttpLink } from './modern-http-link.ts'
import type { ModernLink, ModernNotice } from './modern-link.ts'
import { ModernStdioLink } from './modern-stdio-link.ts'
import { LATEST_LEGACY } from '../wire/protocol.ts'
import { probeEra } from './probe.ts'
import { SharedStdio } from './shared-stdio.ts'
import { StdioTransport, type StdioTransportOptions } from './stdio-transport.ts'

export interface UpstreamEnvironment {
  readonly runtime: ServerRuntime
  readonly credentials: UpstreamCredentials | undefined
  readonly logger: Logger
  readonly now: () => number
  readonly limits: GatewayLimits
  readonly clientInfo: { readonly name: string; readonly version: string }
  readonly notice: ModernNotice
}

/** What a session of the legacy era needs of the client to open one with a server. */
export interface LegacyOpening {
  readonly context: RequestContext
  readonly owner: LegacyTransportOwner
  /** The client declared sampling, elicitation or roots: the server may ask it something. */
  readonly answersQuestions: boolean
  readonly protocolVersion: string
  readonly resume?: { readonly sessionId: string | undefined; readonly protocolVersion: string } | undefined
}

type Kind =
  | { readonly of: 'stdio'; readonly server: NamedServer & { readonly definition: StdioServerDefinition } }
  | { readonly of: 'http'; readonly client: HttpClient }

/** Legacy verdicts are asked again after this time: servers get upgraded. */
const VERDICT_MS = 600_000
/** An unreachable server is not asked again for this long. */
const FAILURE_MS = 1_000

/** One MCP server behind the gateway, and everything that is open towards it. */
export class Upstream {
  readonly name: string
  readonly definition: ServerDefinition
  readonly #environment: UpstreamEnvironment
  readonly #kind: Kind
  readonly #shared = new Map<string, SharedStdio>()
  readonly #modern = new Map<string, ModernLink>()
  readonly #exclusive = new Set<LegacyTransport>()
  #verdict: EraAnswer | undefined
  #verdictAt = 0
  #asking: Promise<EraAnswer> | undefined
  #closed = false

  constructor(server: NamedServer, environment: UpstreamEnvironment) {
    this.name = server.name
    this.definition = server.definition
    this.#environment = environment
    const { name, definition } = server
    this.#kind = isStdioServer(definition)
      ? { of: 'stdio', server: { name, definition } }
      : { of: 'http', client: this.#httpClient({ name, definition }) }
  }

  /** The verdict if it is known: the way that needs no waiting. */
  get knownEra(): EraVerdict | undefined {
    const verdict = this.#verdict
    if (verdict === undefined || SallyportError.isInstance(verdict)) return undefined
    if (verdict.modern === undefined && this.#environment.now() - this.#verdictAt > VERDICT_MS)
      void this.era()
    return verdict
  }

  /** Asks the server unless it was asked not long ago. Never rejects. */
  era(context = this.#ownContext()): Promise<EraAnswer> {
    if (this.#asking !== undefined) return this.#asking
    const known = this.#verdict
    const age = this.#environment.now() - this.#verdictAt
    const fresh = age < (SallyportError.isInstance(known) ? FAILURE_MS : VERDICT_MS)
    const settled = known !== undefined && !SallyportError.isInstance(known) && known.modern !== undefined
    if (known !== undefined && (fresh || settled)) return Promise.resolve(known)
    this.#asking = this.#probe(context).then((answer) => {
      this.#asking = undefined
      this.#verdict = answer
      this.#verdictAt = this.#environment.now()
      return answer
    })
    return this.#asking
  }

  modern(tenant: string): ModernLink {
    const key = this.#kind.of === 'stdio' ? tenant : ''
    const known = this.#modern.get(key)
    if (known !== undefined) return known
    const link = this.#openModern(() => {
      if (this.#modern.get(key) === link) this.#modern.delete(key)
    })
    this.#modern.set(key, link)
    return link
  }

  legacy(opening: LegacyOpening): LegacyTransport {
    const kind = this.#kind
    if (kind.of === 'stdio') return this.#legacyStdio(kind.server, opening)
    return this.#legacyHttp(this.knownEra?.legacyTransport ?? 'streamable-http', opening, kind.client)
  }

  /** Ends everything. Calls that are open fail. */
  async close(): Promise<void> {
    this.#closed = true
    for (const link of this.#modern.values()) link.close()
    for (const transport of this.#exclusive) transport.close()
    await Promise.all([...this.#shared.values()].map((shared) => shared.close()))
    if (this.#kind.of === 'http') await this.#kind.client.destroy()
  }

  #legacyStdio(
    server: NamedServer & { readonly definition: StdioServerDefinition },
    opening: LegacyOpening,
  ): LegacyTransport {
    const { context, owner } = opening
    const sharing = server.definition.sharing ?? 'tenant'
    if (opening.answersQuestions || sharing === 'session') {
      const { limits } = this.#environment
      if (this.#exclusive.size >= limits.processesPerServer) {
        throw new UpstreamError(
          'ERR_UPSTREAM_UNAVAILABLE',
          this.name,
          `already runs ${limits.processesPerServer} processes`,
          {
            retrySafe: true,
          },
        )
      }
      const transport: LegacyTransport = new StdioTransport(this.#stdioOptions(server), {
        ...bound(owner),
        closed: (error) => {
          this.#exclusive.delete(transport)
          owner.closed(error)
        },
      })
      this.#exclusive.add(transport)
      return transport
    }
    const person = sharing === 'principal' ? context.principal.subject : ''
    const key = JSON.stringify([context.principal.tenant, person, opening.protocolVersion])
    let shared = this.#shared.get(key)
    if (shared === undefined) {
      shared = new SharedStdio({
        ...this.#stdioOptions(server),
        context,
        initializeParams: {
          protocolVersion: opening.protocolVersion,
          capabilities: {},
          clientInfo: this.#environment.clientInfo,
        },
        idleMs: this.#environment.limits.idleProcessMs,
        onClosed: () => void this.#shared.delete(key),
      })
      this.#shared.set(key, shared)
    }
    return shared.join(owner)
  }

  #legacyHttp(
    kind: EraVerdict['legacyTransport'],
    opening: LegacyOpening,
    client: HttpClient,
  ): LegacyTransport {
    const { limits, now, logger } = this.#environment
    const options = {
      server: this.name,
      client,
      owner: opening.owner,
      context: opening.context,
      timeoutMs: this.#timeoutMs,
      maxAnswerBytes: limits.answerBytes,
    }
    if (kind !== 'sse') return new LegacyHttpTransport({ ...options, resume: opening.resume })
    const garbage = (text: string) =>
      logger.warn('server wrote something that is no message', { server: this.name, text })
    return new LegacySseTransport({ ...options, now, garbage })
  }

  #openModern(onClosed: () => void): ModernLink {
    const kind = this.#kind
    const { notice, limits } = this.#environment
    if (kind.of === 'stdio')
      return new ModernStdioLink({ ...this.#stdioOptions(kind.server), notice, onClosed })
    const timeoutMs = this.#timeoutMs
    return new ModernHttpLink({
      server: this.name,
      client: kind.client,
      notice,
      timeoutMs,
      maxAnswerBytes: limits.answerBytes,
    })
  }

  async #probe(context: RequestContext): Promise<EraAnswer> {
    const { now, limits, clientInfo, logger } = this.#environment
    // a probe runs beside the processes that serve: some servers exit when they are asked what they do not know
    const opened: ModernLink[] = []
    try {
      const verdict = await probeEra({
        server: this.name,
        context,
        clientInfo,
        now,
        timeoutMs: limits.probeMs,
        openModern: () => {
          const link = this.#openModern(() => {})
          opened.push(link)
          return link
        },
        legacyTransports: this.#legacyTransports(),
        openLegacy: (kind, owner) => this.#probeTransport(kind, owner, context),
      })
      logger.debug('server answered', {
        server: this.name,
        eras: verdict.modern === undefined ? 'legacy' : 'modern',
      })
      return verdict
    } catch (error) {
      if (!SallyportError.isInstance(error)) throw error
      if (!this.#closed)
        logger.warn('server could not be asked what it speaks', { server: this.name, error: error.message })
      return error
    } finally {
      if (this.#kind.of === 'stdio') for (const link of opened) link.close()
    }
  }

  #ownContext(): RequestContext {
    return {
      principal: { tenant: 'local', subject: 'local', roles: [], scopes: [] },
      era: 'legacy',
      protocolVersion: '',
    }
  }

  #probeTransport(
    kind: EraVerdict['legacyTransport'],
    owner: LegacyTransportOwner,
    context: RequestContext,
  ): LegacyTransport {
    const opening = { context, owner, answersQuestions: false, protocolVersion: LATEST_LEGACY }
    // a process that is shared anyway need not be started twice: it stays for the first session
    if (this.#kind.of === 'stdio') return this.#legacyStdio(this.#kind.server, opening)
    return this.#legacyHttp(kind, opening, this.#kind.client)
  }

  #legacyTransports(): readonly EraVerdict['legacyTransport'][] {
    if (isStdioServer(this.definition)) return ['stdio']
    const wanted = this.definition.transport ?? 'auto'
    return wanted === 'auto' ? ['streamable-http', 'sse'] : [wanted]
  }

  get #timeoutMs(): number {
    return this.definition.timeoutMs ?? this.#environment.limits.callMs
  }

  #stdioOptions(server: NamedServer & { readonly definition: StdioServerDefinition }): StdioTransportOptions {
    const { runtime, logger, limits, now } = this.#environment
    return { server, runtime, logger, maxLineBytes: limits.answerBytes, timeoutMs: this.#timeoutMs, now }
  }

  #httpClient(server: NamedServer & { readonly definition: HttpServerDefinition }): HttpClient {
    const { credentials, limits } = this.#environment
    return new HttpClient(server, credentials, limits.connectionsPerServer)
  }
}

function bound(owner: LegacyTransportOwner): LegacyTransportOwner {
  return {
    fromServer: (message, scan, call) => owner.fromServer(message, scan, call),
    sessionOpened: (id) => owner.sessionOpened(id),
    sessionLost: (call) => owner.sessionLost(call),
    closed: (error) => owner.closed(error),
  }
}

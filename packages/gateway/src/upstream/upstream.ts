import {
  type HttpServerDefinition,
  isStdioServer,
  type Logger,
  type NamedServer,
  type Principal,
  type RequestContext,
  SallyportError,
  type ServerDefinition,
  type ServerRuntime,
  type StdioServerDefinition,
  type UpstreamCredentials,
} from '@sallyport/core'
import { askWithin } from '../call/internal-call.ts'
import type { GatewayLimits } from '../gateway-options.ts'
import type { Call, Carrier, CarrierSource } from '../call/call.ts'
import type { EraAnswer, EraVerdict } from './era.ts'
import { EraKnowledge } from './era-knowledge.ts'
import { ModernOnLegacy } from '../translate/modern-on-legacy/modern-on-legacy.ts'
import type { ParkedCalls } from '../translate/modern-on-legacy/parked-calls.ts'
import type { TranslatedCall } from '../translate/modern-on-legacy/translated-call.ts'
import { HttpClient } from './http-client.ts'
import { LegacyOnModern } from '../translate/legacy-on-modern/legacy-on-modern.ts'
import { mostParkedAt } from '../translate/modern-on-legacy/parked-calls.ts'
import { LegacyHttpTransport } from './legacy-http-transport.ts'
import { LegacySseTransport } from './legacy-sse-transport.ts'
import {
  type Caller,
  type LegacyTransport,
  type LegacyTransportOwner,
  methodsOf,
} from './legacy-transport.ts'
import { ModernHttpLink } from './modern-http-link.ts'
import { type ModernLink, type ModernNotice, type QuestionGate, refusedLink } from './modern-link.ts'
import { ModernStdioLink } from './modern-stdio-link.ts'
import type { ProcessStatus } from './process-status.ts'
import { Reachability } from './reachability.ts'
import type { UpstreamStatus } from './upstream-status.ts'
import { LATEST_LEGACY } from '../wire/protocol.ts'
import { probeEra } from './probe.ts'
import { RestartBackoff } from './restart-backoff.ts'
import type { ProcessBudget } from './process-budget.ts'
import { shareKey } from './share-key.ts'
import { SharedStdio } from './shared-stdio.ts'
import { ToolAnnotations } from './tool-annotations.ts'
import { StdioTransport, type StdioTransportOptions } from './stdio-transport.ts'
import { UpstreamGuard } from './upstream-guard.ts'

export interface UpstreamEnvironment {
  readonly runtime: ServerRuntime
  readonly credentials: UpstreamCredentials | undefined
  readonly logger: Logger
  readonly now: () => number
  readonly limits: GatewayLimits
  readonly processes: ProcessBudget
  readonly clientInfo: { readonly name: string; readonly version: string }
  readonly parking: ParkedCalls<TranslatedCall>
  readonly notice: (...notice: [...Parameters<ModernNotice>, server: string]) => void
  /** A server asks something that the client is told in another form. */
  readonly mayAsk: (...question: [...Parameters<QuestionGate>, server: string]) => ReturnType<QuestionGate>
}

/** What a session of the legacy era needs of the client to open one with a server. */
export interface LegacyOpening {
  readonly caller: Caller
  readonly owner: LegacyTransportOwner
  /** The client declared sampling, elicitation or roots: the server may ask it something. */
  readonly answersQuestions: boolean
  readonly protocolVersion: string
  readonly resume?: { readonly sessionId: string | undefined; readonly protocolVersion: string } | undefined
}

type Kind =
  | { readonly of: 'stdio'; readonly server: NamedServer & { readonly definition: StdioServerDefinition } }
  | { readonly of: 'http'; readonly client: HttpClient }

/** How long requests that are open when a server is let go may still take. */
const GOODBYE_MS = 500

/** One MCP server behind the gateway, and everything that is open towards it. */
export class Upstream implements CarrierSource {
  readonly name: string
  readonly definition: ServerDefinition
  readonly guard: UpstreamGuard
  readonly #restarts: RestartBackoff
  readonly #environment: UpstreamEnvironment
  readonly #kind: Kind
  readonly #reachability: Reachability
  readonly #shared = new Map<string, SharedStdio>()
  readonly #modern = new Map<string, ModernLink>()
  readonly #exclusive = new Set<StdioTransport>()
  readonly #annotations: ToolAnnotations
  readonly #legacyOnModern: LegacyOnModern
  readonly #modernOnLegacy: ModernOnLegacy
  readonly #era: EraKnowledge
  #closed = false

  constructor(server: NamedServer, environment: UpstreamEnvironment) {
    this.name = server.name
    this.definition = server.definition
    this.#environment = environment
    this.#modernOnLegacy = new ModernOnLegacy(this, environment)
    this.#reachability = new Reachability(server.name, environment.now)
    const { name, definition } = server
    const { limits, logger, now, credentials, clientInfo } = environment
    this.guard = new UpstreamGuard({ server: name, limits, retry: definition.retry, logger, now })
    const { restartMs: firstMs, longestRestartMs: longestMs } = limits
    this.#restarts = new RestartBackoff({ server: name, firstMs, longestMs, logger, now })
    this.#era = new EraKnowledge({
      server: name,
      now,
      probeMs: limits.probeMs,
      perPrincipal: credentials !== undefined,
      reachability: this.#reachability,
      probe: (context) => this.#probe(context),
      onModern: () => this.#modernOnLegacy.retire(),
    })
    this.#annotations = new ToolAnnotations({
      server: name,
      perPrincipal: credentials !== undefined,
      logger,
      now,
      ask: (context, params) =>
        askWithin(limits.listMs, this.modern(context.principal), name, context, 'tools/list', params),
    })
    this.#kind = isStdioServer(definition)
      ? { of: 'stdio', server: { name, definition } }
      : { of: 'http', client: this.#httpClient({ name, definition }) }
    this.#legacyOnModern = new LegacyOnModern({
      server: name,
      isHttp: this.#kind.of === 'http',
      clientInfo,
      logger,
      now,
      probeMs: limits.probeMs,
      inputRoundMs: limits.inputRoundMs,
      link: ({ principal }) => this.modern(principal),
      verdict: () => this.knownEra,
      refused: () => this.#era.legacyRefused(),
      ask: (context) => this.era(context, true),
      passThrough: (opening) => this.#passThrough(opening),
    })
  }

  /** The verdict if it is known: the way that needs no waiting. */
  get knownEra(): EraVerdict | undefined {
    return this.#era.verdict
  }

  /**
   * Asks the server unless it was asked not long ago. Never rejects.
   * @param anew it gave reason to believe that it is another server now
   */
  era(context?: RequestContext, anew = false): Promise<EraAnswer> {
    return this.#era.ask(context, anew)
  }

  status(): UpstreamStatus {
    const kind = this.#kind
    const { reachable, lastError } = this.#reachability
    return {
      name: this.name,
      kind: kind.of,
      origin: kind.of === 'http' ? kind.client.url.origin : undefined,
      reachable,
      lastError,
      era: this.#era.status,
      breaker: this.guard.state,
      processes: this.#processes(),
      http: kind.of === 'http' ? kind.client.load : undefined,
    }
  }

  /** Milliseconds for which the server has owed the answer to the question under way; 0 if there is none. */
  askedForMs(context: RequestContext): number {
    return this.#era.askedForMs(context)
  }

  /** The last attempt to ask failed, so another one is not worth waiting for. */
  hasFailed(context: RequestContext): boolean {
    return this.#era.hasFailed(context)
  }

  /** How a call of the modern era gets to the server now. */
  carrierFor(call: Call): Carrier {
    return this.modern(call.context.principal)
  }

  /** How calls of the modern era reach this server, whatever it speaks. */
  modern(principal: Principal): ModernLink {
    const verdict = this.knownEra
    if (verdict !== undefined && verdict.modern === undefined) return this.#modernOnLegacy.link()
    return this.#modernOnLegacy.after(this.#modernLink(principal))
  }

  /** @param isProbe asking a server what it speaks is everybody's business, and not refused to one caller */
  #modernLink(principal: Principal, isProbe = false): ModernLink {
    const key = this.#modernKey(principal)
    const known = this.#modern.get(key)
    if (known !== undefined) return known
    let link: ModernLink
    try {
      link = this.#openModern(principal, isProbe, () => {
        if (this.#modern.get(key) === link) this.#modern.delete(key)
      })
    } catch (error) {
      if (!SallyportError.isInstance(error)) throw error
      return refusedLink(error)
    }
    this.#modern.set(key, link)
    return link
  }

  #modernKey(principal: Principal): string {
    return this.#kind.of === 'stdio' ? shareKey(this.#kind.server.definition, principal) : ''
  }

  /** A session for a client of the legacy era, whichever era the server speaks. */
  legacy(opening: LegacyOpening): LegacyTransport {
    // what another process opened was passed through there
    return opening.resume === undefined ? this.#legacyOnModern.open(opening) : this.#passThrough(opening)
  }

  #passThrough(opening: LegacyOpening): LegacyTransport {
    const kind = this.#kind
    if (kind.of === 'stdio') return this.#legacyStdio(kind.server, opening)
    return this.#legacyHttp(this.knownEra?.legacyTransport ?? 'streamable-http', opening, kind.client)
  }

  #processes(): readonly ProcessStatus[] {
    const links = [...this.#modern.values(), ...this.#shared.values(), ...this.#exclusive]
    return links.flatMap(({ process }) => process ?? [])
  }

  /** Ends everything. Calls that are open fail. */
  async close(): Promise<void> {
    this.#closed = true
    this.#legacyOnModern.close()
    await Promise.all([
      ...[...this.#modern.values()].map((link) => link.close()),
      ...[...this.#exclusive].map((transport) => transport.stop()),
      ...[...this.#shared.values()].map((shared) => shared.close()),
      // its sessions last: their processes are waited for above
      this.#modernOnLegacy.close(),
    ])
    // sessions that were just ended are told so, unless that takes long
    if (this.#kind.of === 'http') await this.#kind.client.close(GOODBYE_MS)
  }

  #legacyStdio(
    server: NamedServer & { readonly definition: StdioServerDefinition },
    opening: LegacyOpening,
    isProbe = false,
  ): LegacyTransport {
    const { caller, owner } = opening
    const { context } = caller
    const sharing = server.definition.sharing ?? 'tenant'
    if (opening.answersQuestions || sharing === 'session') {
      const { processes } = this.#environment
      if (!isProbe) processes.admit(this.name, context.principal)
      this.#mayStart()
      const transport = new StdioTransport(this.#stdioOptions(server), {
        ...methodsOf(owner),
        closed: (error) => {
          this.#exclusive.delete(transport)
          processes.remove(transport)
          owner.closed(error)
        },
      })
      this.#exclusive.add(transport)
      processes.add(transport, this.name, context.principal)
      return transport
    }
    const key = JSON.stringify([shareKey(server.definition, context.principal), opening.protocolVersion])
    let shared = this.#shared.get(key)
    if (shared === undefined) {
      if (sharing === 'principal' && !isProbe) this.#environment.processes.admit(this.name, context.principal)
      this.#mayStart()
      const opened: SharedStdio = new SharedStdio({
        ...this.#stdioOptions(server),
        context,
        initializeParams: {
          protocolVersion: opening.protocolVersion,
          capabilities: {},
          clientInfo: this.#environment.clientInfo,
        },
        idleMs: this.#environment.limits.idleProcessMs,
        onClosed: () => {
          if (this.#shared.get(key) === opened) this.#shared.delete(key)
          this.#environment.processes.remove(opened)
        },
      })
      this.#shared.set(key, opened)
      if (sharing === 'principal') this.#environment.processes.add(opened, this.name, context.principal)
      shared = opened
    }
    return shared.join(owner)
  }

  #mayStart(): void {
    const { refusal } = this.#restarts
    if (refusal !== undefined) throw refusal
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
      caller: opening.caller,
      timeoutMs: this.#timeoutMs,
      maxAnswerBytes: limits.answerBytes,
    }
    if (kind !== 'sse') return new LegacyHttpTransport({ ...options, resume: opening.resume })
    const garbage = (text: string) =>
      logger.warn('server wrote something that is no message', { server: this.name, text })
    return new LegacySseTransport({ ...options, now, garbage })
  }

  #openModern(principal: Principal, isProbe: boolean, onClosed: () => void): ModernLink {
    const kind = this.#kind
    const { limits } = this.#environment
    const notice: ModernNotice = (message, scan, call) =>
      this.#environment.notice(message, scan, call, this.name)
    if (kind.of === 'stdio') {
      const { processes } = this.#environment
      const isOwned = (kind.server.definition.sharing ?? 'tenant') !== 'tenant'
      if (isOwned && !isProbe) processes.admit(this.name, principal)
      this.#mayStart()
      const link: ModernStdioLink = new ModernStdioLink({
        ...this.#stdioOptions(kind.server),
        notice,
        annotations: this.#annotations,
        onClosed: () => {
          processes.remove(link)
          onClosed()
        },
        idleMs: limits.idleModernProcessMs,
        unusedMs: limits.idleProcessMs,
      })
      if (isOwned) processes.add(link, this.name, principal)
      return link
    }
    const timeoutMs = this.#timeoutMs
    return new ModernHttpLink({
      server: this.name,
      client: kind.client,
      notice,
      annotations: this.#annotations,
      timeoutMs,
      maxAnswerBytes: limits.answerBytes,
    })
  }

  async #probe(context: RequestContext): Promise<EraAnswer> {
    const { now, limits, clientInfo, logger } = this.#environment
    // a process that was asked and speaks the modern era goes on as the one that serves; one that does not know the question
    // may be confused or gone, and is not used for anything else
    const { principal } = context
    const asked = this.#modern.has(this.#modernKey(principal)) ? undefined : this.#modernLink(principal, true)
    let keep = this.#kind.of === 'http'
    try {
      const verdict = await probeEra({
        server: this.name,
        context,
        clientInfo,
        now,
        // what follows a question that was not answered is to be answered before nobody waits for it any more
        timeoutMs: limits.probeMs / 2,
        patienceMs: this.#kind.of === 'http' ? limits.probeMs : limits.probeMs + this.#timeoutMs,
        openModern: () => this.#modernLink(principal, true),
        legacyTransports: this.#legacyTransports(),
        openLegacy: (kind, owner) => this.#probeTransport(kind, owner, context),
      })
      logger.debug('server answered', {
        server: this.name,
        eras: verdict.modern === undefined ? 'legacy' : 'modern',
      })
      keep ||= verdict.modern !== undefined
      return verdict
    } catch (error) {
      if (!SallyportError.isInstance(error)) throw error
      if (!this.#closed)
        logger[this.hasFailed(context) ? 'debug' : 'warn']('server could not be asked what it speaks', {
          server: this.name,
          error: error.message,
        })
      return error
    } finally {
      if (!keep) void asked?.close()
    }
  }

  #probeTransport(
    kind: EraVerdict['legacyTransport'],
    owner: LegacyTransportOwner,
    context: RequestContext,
  ): LegacyTransport {
    const opening = { caller: { context }, owner, answersQuestions: false, protocolVersion: LATEST_LEGACY }
    // a process that is shared anyway need not be started twice: it stays for the first session
    if (this.#kind.of === 'stdio') return this.#legacyStdio(this.#kind.server, opening, true)
    return this.#legacyHttp(kind, opening, this.#kind.client)
  }

  #legacyTransports(): readonly EraVerdict['legacyTransport'][] {
    if (isStdioServer(this.definition)) return ['stdio']
    const wanted = this.definition.transport ?? 'auto'
    return wanted === 'auto' ? ['streamable-http', 'sse'] : [wanted]
  }

  /** How long a call waits for the server to say what it speaks, or to open a session. */
  get openingMs(): number {
    const { probeMs } = this.#environment.limits
    return this.#timeoutMs === 0 ? probeMs : Math.min(probeMs, this.#timeoutMs)
  }

  get #timeoutMs(): number {
    return this.definition.timeoutMs ?? this.#environment.limits.callMs
  }

  #stdioOptions(server: NamedServer & { readonly definition: StdioServerDefinition }): StdioTransportOptions {
    const { runtime, logger, limits, now } = this.#environment
    return {
      server,
      runtime,
      logger,
      maxLineBytes: limits.answerBytes,
      reachability: this.#reachability,
      timeoutMs: this.#timeoutMs,
      now,
      restarts: this.#restarts,
      stuckAfter: limits.breakerFailures,
    }
  }

  #httpClient(server: NamedServer & { readonly definition: HttpServerDefinition }): HttpClient {
    const { credentials, limits } = this.#environment
    // calls that wait for their clients keep their connections, and do not count as open calls meanwhile
    const connections = limits.connectionsPerServer + mostParkedAt(limits.parkedCalls)
    return new HttpClient(server, credentials, connections, this.#reachability)
  }
}

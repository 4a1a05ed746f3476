import {
  type HttpServerDefinition,
  isStdioServer,
  type Logger,
  type NamedServer,
  type Principal,
  principalKey,
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
import { answerWithin, type EraAnswer, type EraVerdict } from './era.ts'
import { HttpClient } from './http-client.ts'
import { LegacyOnModern } from '../translate/legacy-on-modern/legacy-on-modern.ts'
import { LegacyHttpTransport } from './legacy-http-transport.ts'
import { LegacySseTransport } from './legacy-sse-transport.ts'
import { type LegacyTransport, type LegacyTransportOwner, methodsOf } from './legacy-transport.ts'
import { ModernHttpLink } from './modern-http-link.ts'
import { type ModernLink, type ModernNotice, refusedLink } from './modern-link.ts'
import { ModernStdioLink } from './modern-stdio-link.ts'
import { upstreamEra } from '../observe/channels.ts'
import type { ProcessStatus } from './process-status.ts'
import { Reachability } from './reachability.ts'
import { type EraStatus, type UpstreamStatus, versionsOf } from './upstream-status.ts'
import { LATEST_LEGACY } from '../wire/protocol.ts'
import { notSent } from './not-sent.ts'
import { probeEra } from './probe.ts'
import { RestartBackoff } from './restart-backoff.ts'
import type { ProcessBudget } from './process-budget.ts'
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
  readonly notice: (...notice: [...Parameters<ModernNotice>, server: string]) => void
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
  #verdict: EraVerdict | undefined
  #verdictAt = 0
  readonly #asking = new Map<string, { readonly answer: Promise<EraAnswer>; readonly since: number }>()
  readonly #failures = new Map<string, { readonly error: SallyportError; readonly at: number }>()
  #closed = false

  constructor(server: NamedServer, environment: UpstreamEnvironment) {
    this.name = server.name
    this.definition = server.definition
    this.#environment = environment
    this.#reachability = new Reachability(server.name, environment.now)
    const { name, definition } = server
    const { limits, logger, now, credentials, clientInfo } = environment
    this.guard = new UpstreamGuard({ server: name, limits, retry: definition.retry, logger, now })
    const { restartMs: firstMs, longestRestartMs: longestMs } = limits
    this.#restarts = new RestartBackoff({ server: name, firstMs, longestMs, logger, now })
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
      refused: () => this.#legacyRefused(),
      ask: (context) => this.era(context, true),
      passThrough: (opening) => this.#passThrough(opening),
    })
  }

  /** The verdict if it is known: the way that needs no waiting. */
  get knownEra(): EraVerdict | undefined {
    const verdict = this.#verdict
    if (verdict === undefined) return undefined
    if (verdict.modern === undefined && this.#environment.now() - this.#verdictAt > VERDICT_MS)
      void this.era()
    return verdict
  }

  /**
   * Asks the server unless it was asked not long ago. Never rejects.
   * @param anew it gave reason to believe that it is another server now
   */
  era(context = this.#ownContext(), anew = false): Promise<EraAnswer> {
    const { now, limits } = this.#environment
    const { probeMs } = limits
    const known = this.#verdict
    if (!anew && known !== undefined && (known.modern !== undefined || now() - this.#verdictAt < VERDICT_MS))
      return Promise.resolve(known)
    const key = this.#askerKey(context)
    const failure = this.#failures.get(key)
    if (failure !== undefined && now() - failure.at < FAILURE_MS) return Promise.resolve(failure.error)
    const asking = this.#asking.get(key)
    if (asking !== undefined) return answerWithin(probeMs * 3, this.name, asking.answer)
    const answer = this.#probe(context).then((answered) => {
      this.#asking.delete(key)
      const found = SallyportError.isInstance(answered) ? notSent(answered, FAILURE_MS) : answered
      if (SallyportError.isInstance(found)) {
        // a consent may be given at any moment, and the person who gave it tries again at once
        const keeps = found.code !== 'ERR_CONSENT_REQUIRED'
        this.#reachability.erred(found)
        this.#failures.set(key, { error: found, at: keeps ? now() : Number.NEGATIVE_INFINITY })
      } else {
        this.#failures.clear()
        // that it speaks the modern era does not say that it would not refuse the other one again
        const both = found.modern !== undefined && known?.modern !== undefined
        this.#decide(both ? { ...found, legacy: known.legacy } : found)
        this.#verdictAt = now()
      }
      return found
    })
    this.#asking.set(key, { answer, since: performance.now() })
    return answerWithin(probeMs * 3, this.name, answer)
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
      era: this.#eraStatus(),
      breaker: this.guard.breaker.state,
      processes: this.#processes(),
      http: kind.of === 'http' ? kind.client.load : undefined,
    }
  }

  /** Milliseconds for which the server has owed the answer to the question under way; 0 if there is none. */
  askedForMs(context: RequestContext): number {
    const asking = this.#asking.get(this.#askerKey(context))
    return asking === undefined ? 0 : performance.now() - asking.since
  }

  /** The last attempt to ask failed, so another one is not worth waiting for. */
  hasFailed(context: RequestContext): boolean {
    return this.#failures.has(this.#askerKey(context))
  }

  /** How a call of the modern era gets to the server now. */
  carrierFor(call: Call): Carrier {
    return this.modern(call.context.principal)
  }

  /** @param isProbe asking a server what it speaks is everybody's business, and not refused to one caller */
  modern(principal: Principal, isProbe = false): ModernLink {
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

  #eraStatus(): EraStatus | undefined {
    const verdict = this.#verdict
    if (verdict === undefined) return undefined
    return { ...versionsOf(verdict), ageMs: this.#environment.now() - this.#verdictAt }
  }

  #processes(): readonly ProcessStatus[] {
    const links = [...this.#modern.values(), ...this.#shared.values(), ...this.#exclusive]
    return links.flatMap(({ process }) => process ?? [])
  }

  #decide(found: EraVerdict): void {
    if (upstreamEra.hasSubscribers) this.#publishEra(found)
    this.#verdict = found
  }

  #publishEra(found: EraVerdict): void {
    const before = this.#verdict === undefined ? undefined : JSON.stringify(versionsOf(this.#verdict))
    const said = versionsOf(found)
    const changed = before !== undefined && before !== JSON.stringify(said)
    upstreamEra.publish({ server: this.name, ...said, changed })
  }

  /** Ends everything. Calls that are open fail. */
  async close(): Promise<void> {
    this.#closed = true
    this.#legacyOnModern.close()
    await Promise.all([
      ...[...this.#modern.values()].map((link) => link.close()),
      ...[...this.#exclusive].map((transport) => transport.stop()),
      ...[...this.#shared.values()].map((shared) => shared.close()),
    ])
    // sessions that were just ended are told so, unless that takes long
    if (this.#kind.of === 'http') await this.#kind.client.close(GOODBYE_MS)
  }

  #legacyRefused(): void {
    const verdict = this.#verdict
    if (verdict?.modern !== undefined)
      this.#decide({ ...verdict, legacy: { refusedAt: this.#environment.now() } })
  }

  #legacyStdio(
    server: NamedServer & { readonly definition: StdioServerDefinition },
    opening: LegacyOpening,
    isProbe = false,
  ): LegacyTransport {
    const { context, owner } = opening
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
      context: opening.context,
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
    const asked = this.#modern.has(this.#modernKey(principal)) ? undefined : this.modern(principal, true)
    let keep = this.#kind.of === 'http'
    try {
      const verdict = await probeEra({
        server: this.name,
        context,
        clientInfo,
        now,
        timeoutMs: limits.probeMs,
        patienceMs: this.#kind.of === 'http' ? limits.probeMs : limits.probeMs + this.#timeoutMs,
        openModern: () => this.modern(principal, true),
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
        logger.warn('server could not be asked what it speaks', { server: this.name, error: error.message })
      return error
    } finally {
      if (!keep) void asked?.close()
    }
  }

  /** What goes wrong with one caller's credentials (a consent that is missing) is neither true nor meant for others. */
  #askerKey({ principal }: RequestContext): string {
    return this.#environment.credentials === undefined ? '' : principalKey(principal)
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
    if (this.#kind.of === 'stdio') return this.#legacyStdio(this.#kind.server, opening, true)
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
    return new HttpClient(server, credentials, limits.connectionsPerServer, this.#reachability)
  }
}

/** Equal for callers who may use one process. In the modern era nothing is kept between calls, so a session is a caller. */
function shareKey({ sharing }: StdioServerDefinition, principal: Principal): string {
  return sharing === undefined || sharing === 'tenant' ? principal.tenant : principalKey(principal)
}

import {
  type Authenticator,
  GatewayError,
  type GatewayInterceptor,
  type Logger,
  type RequestContext,
  SallyportError,
  silentLogger,
} from '@sallyport/core'
import { createMemoryMcpSessionStore } from '@sallyport/core/memory'
import { Aggregator } from './aggregate/aggregator.ts'
import { Catalog } from './aggregate/catalog.ts'
import { CursorSeal } from './aggregate/cursor.ts'
import { discoverResult, settled } from './aggregate/introduction.ts'
import { Listeners } from './aggregate/listen.ts'
import { Toolset } from './aggregate/toolset.ts'
import { Views } from './aggregate/views.ts'
import { loopbackOnly } from './auth/loopback-only.ts'
import { AuditTrail } from './call/audit-trail.ts'
import type { Call } from './call/call.ts'
import { CallBudget } from './call/call-budget.ts'
import { MessageAudit } from './call/message-audit.ts'
import { Flow, type FlowKeeper } from './call/flow.ts'
import { isOneServer, pathOf, toolsetOf } from './call/endpoint.ts'
import { forward, type Passage } from './call/forward.ts'
import { requestTarget } from './call/request-target.ts'
import type { Reply } from './call/reply.ts'
import { endOfTurn } from './end-of-turn.ts'
import { ShortLivedMap } from './short-lived-map.ts'
import { HostCheck } from './front/host-check.ts'
import { SlowClients } from './front/slow-clients.ts'
import { headerOf, type HttpExchange } from './front/http-exchange.ts'
import { defaultLimits, type GatewayLimits, type GatewayOptions } from './gateway-options.ts'
import type { LegacySession } from './legacy/legacy-session.ts'
import { ListChanges } from './legacy/list-changes.ts'
import { ReplayBudget } from './legacy/replay-budget.ts'
import { openSession, type SessionOpening } from './session-opening.ts'
import { SessionTable } from './legacy/session-table.ts'
import { Access } from './policy/access.ts'
import { createChildProcessRuntime } from './runtime/child-process-runtime.ts'
import { callsAreObserved, ObservedCall } from './observe/observed-call.ts'
import { ProcessBudget } from './upstream/process-budget.ts'
import { ParkedCalls } from './translate/modern-on-legacy/parked-calls.ts'
import type { Upstream } from './upstream/upstream.ts'
import { UpstreamTable } from './upstream/upstream-table.ts'
import { parseJson, type RpcMessage } from './wire/client-message.ts'
import type { MessageScan } from './wire/scan-message.ts'
import { META_SUBSCRIPTION, RpcCode } from './wire/protocol.ts'
import { version } from './version.ts'

/** What all fronts share: the parts of the gateway, and the ways of a request into them. */
export class GatewayCore implements FlowKeeper {
  readonly logger: Logger
  readonly limits: GatewayLimits
  readonly publicUrl: URL | undefined
  readonly serverInfo: { readonly name: string; readonly version: string }
  readonly hostCheck: HostCheck
  readonly authenticator: Authenticator
  readonly upstreams: UpstreamTable
  readonly sessions: SessionTable
  readonly catalog: Catalog
  readonly listeners: Listeners
  readonly trail: AuditTrail
  readonly audit: MessageAudit
  readonly budget: CallBudget
  readonly slowClients: SlowClients
  readonly replay: ReplayBudget
  readonly openFlows = new ShortLivedMap<Flow, true>()
  draining = false
  closed = false
  readonly #origin: string | undefined
  readonly interceptors: readonly GatewayInterceptor[]
  readonly access: Access
  readonly toolsets: ReadonlyMap<string, Toolset>
  readonly views: Views
  readonly passage: Passage
  readonly #aggregator: Aggregator
  readonly #listChanges: ListChanges

  constructor(options: GatewayOptions) {
    const now = options.now ?? Date.now
    this.logger = options.logger ?? silentLogger
    this.limits = { ...defaultLimits, ...options.limits }
    this.publicUrl = options.publicUrl === undefined ? undefined : new URL(options.publicUrl)
    this.#origin = this.publicUrl?.origin
    this.serverInfo = options.serverInfo ?? { name: 'sallyport', version }
    this.hostCheck = new HostCheck({
      publicUrl: this.publicUrl,
      allowedHosts: options.allowedHosts ?? [],
      allowedOrigins: options.allowedOrigins ?? [],
    })
    this.authenticator = options.authenticate ?? loopbackOnly()
    this.interceptors = options.interceptors ?? []
    this.trail = new AuditTrail(options.audit, this.logger, now)
    this.audit = new MessageAudit(this.trail)
    this.budget = new CallBudget(this.limits)
    this.replay = new ReplayBudget(this.limits)
    this.slowClients = new SlowClients({
      limits: this.limits,
      onCut: ({ principal }, limit, waitingBytes) => {
        this.logger.warn('a client that does not read was cut off', { limit, waitingBytes })
        this.audit.invalid({ ...(principal !== undefined && { principal }) }, 0, 'ERR_LIMIT_EXCEEDED')
      },
    })
    this.upstreams = new UpstreamTable({
      runtime: options.runtime ?? createChildProcessRuntime(),
      credentials: options.credentials,
      logger: this.logger,
      now,
      limits: this.limits,
      processes: new ProcessBudget(this.limits),
      clientInfo: this.serverInfo,
      mayAsk: (message, scan, context, server) => this.#mayAsk(message, scan, context, server),
      parking: new ParkedCalls({
        now,
        maxCalls: this.limits.parkedCalls,
        maxPerOwner: this.limits.parkedCallsPerPrincipal,
        keepMs: this.limits.parkedCallMs,
      }),
      notice: (message, scan, call, server) => {
        const { serverMessages } = this.access
        const allowed =
          serverMessages === undefined ||
          serverMessages.allowsNotice(call.context.principal, server, message, scan)
        if (allowed instanceof Promise)
          void allowed.then((it) => this.#noticed(message, scan, call, server, it))
        else this.#noticed(message, scan, call, server, allowed)
      },
    })
    this.access = new Access(options, this.logger, now, () => this.#policyChanged())
    this.passage = { interceptors: this.interceptors, gates: this.access.gates }
    this.toolsets = new Map(
      Object.entries(options.toolsets ?? {}).map(([name, toolset]) => [name, new Toolset(name, toolset)]),
    )
    this.views = new Views(this.upstreams, this.access.gate, this.toolsets)
    this.catalog = new Catalog({ now, pageItems: this.limits.pageItems, maxEntries: 10_000 })
    this.#listChanges = new ListChanges(() => this.sessions.all(), now)
    this.listeners = new Listeners({
      upstreams: this.upstreams,
      views: this.views,
      logger: this.logger,
      // long enough for a process to start
      acknowledgeMs: Math.min(5_000, this.limits.listMs),
      ownersOf: (flow, uris) => this.#aggregator.ownersOf(flow, uris),
      onListChanged: (tenant, server) => this.catalog.invalidate(tenant, server),
    })
    this.#aggregator = new Aggregator({
      upstreams: this.upstreams,
      views: this.views,
      catalog: this.catalog,
      cursors: new CursorSeal(),
      passage: this.passage,
      interceptors: this.interceptors,
      filter: this.access.filter,
      logger: this.logger,
      listMs: this.limits.listMs,
      perPrincipal: options.credentials !== undefined,
      listen: (flow) => this.listeners.listen(flow),
    })
    this.sessions = new SessionTable({
      store: options.sessions ?? createMemoryMcpSessionStore({ now }),
      logger: this.logger,
      now,
      idleMs: this.limits.sessionIdleMs,
      perPrincipal: this.limits.sessionsPerPrincipal,
      shared: {
        trail: this.trail,
        screen: this.access.serverMessages,
        streamLimits: {
          maxEvents: this.limits.replayEvents,
          maxBytes: this.limits.bufferedBytes / 4,
          maxStreams: 32,
        },
        replay: this.replay,
        onListChanged: (session, server, method) => {
          const { tenant } = session.context.principal
          this.catalog.invalidate(tenant, server)
          this.#listChanges.announce(tenant, method)
        },
        onReopened: (session, server) => {
          const { tenant } = session.context.principal
          this.catalog.invalidate(tenant, server)
          this.#listChanges.suspect(tenant, server)
        },
      },
      isShared: options.sessions !== undefined,
      onEnded: (session, heard) => {
        // lists are kept because somebody hears of their changes: without an ear they cannot be trusted
        const { tenant } = session.context.principal
        const unheard = heard.filter((upstream) => !this.#isHeard(tenant, upstream))
        for (const { name } of unheard) this.catalog.invalidate(tenant, name)
        if (unheard.length > 0) this.#listChanges.announceAll(tenant)
      },
      restore: (session, record) => {
        for (const [server, sessionId] of Object.entries(record.upstreamSessions)) {
          const upstream = this.upstreams.get(server)
          if (upstream !== undefined) session.peer(upstream).resume(sessionId)
        }
      },
    })
  }

  flow(message: RpcMessage, context: RequestContext, reply: Reply, headers: readonly string[]): Flow {
    const flow = new Flow(message, context, reply, this.trail, this.interceptors, headers)
    this.openFlows.set(flow, true)
    flow.keptBy(this)
    if (callsAreObserved()) flow.observed = new ObservedCall(flow, this.upstreams)
    return flow
  }

  settled(flow: Flow): void {
    this.openFlows.delete(flow)
  }

  openSession(opening: SessionOpening): void {
    openSession(opening, this)
  }

  legacyRequest(session: LegacySession, flow: Flow): void {
    if (!this.admits(flow)) return
    if (!session.register(flow)) {
      flow.reject(400, { code: RpcCode.invalidRequest, message: 'a request with this id is still open' })
      return
    }
    const { endpoint } = session
    if (!isOneServer(endpoint)) {
      this.#aggregator.legacy(session, flow)
      return
    }
    const upstream = this.existing(endpoint, flow)
    if (upstream === undefined) return
    const carriers = session.peer(upstream)
    const target = requestTarget(flow.method, flow.message.params)
    if (upstream.definition.retry !== undefined) this.#aggregator.allowRetry(flow, upstream, target, session)
    const { guard } = upstream
    const route = { server: endpoint, target, edits: [], carriers, guard, memory: session }
    forward(flow, route, this.passage)
  }

  modernRequest(flow: Flow): void {
    if (!this.admits(flow)) return
    const { endpoint } = flow.context
    if (!isOneServer(endpoint)) {
      // other methods wait for the servers that they are about
      const aboutAll = flow.method === 'server/discover' || flow.method === 'subscriptions/listen'
      this.views.with(flow, (view) => {
        if (!aboutAll || view.every(({ knownEra }) => knownEra !== undefined))
          this.#modernAggregated(flow, view)
        else {
          void settled(view, flow.context, this.limits.listMs).then(() => {
            if (!flow.settled) this.#modernAggregated(flow, view)
          })
        }
      })
      return
    }
    const upstream = this.existing(endpoint, flow)
    if (upstream === undefined) return
    if (upstream.knownEra !== undefined) this.#modernSingle(flow, upstream)
    else {
      void upstream.era(flow.context).then((verdict) => {
        if (SallyportError.isInstance(verdict)) flow.fail(verdict)
        else this.#modernSingle(flow, upstream)
      })
    }
  }

  /** Whether a server or a toolset of this name can be called. */
  hasEndpoint(name: string): boolean {
    const toolset = toolsetOf(name)
    return toolset === undefined ? this.upstreams.get(name) !== undefined : this.toolsets.has(toolset)
  }

  /** Canonical URL of an endpoint: what tokens name as their audience. */
  urlOf(exchange: HttpExchange, basePath: string, endpoint: string | undefined): string {
    const origin = this.#origin ?? `${exchange.secure ? 'https' : 'http'}://${headerOf(exchange, 'host')}`
    if (endpoint === undefined) return origin + basePath
    return `${origin}${basePath === '/' ? '' : basePath}/${pathOf(endpoint)}`
  }

  health(): { live: boolean; ready: boolean } {
    return { live: !this.closed, ready: !this.draining && !this.closed }
  }

  serversChanged(changed: readonly string[]): void {
    for (const name of changed) this.catalog.invalidate(undefined, name)
    this.listeners.serversChanged()
    this.#listChanges.announceAll()
  }

  /** Closes servers that were replaced, once the calls that began before that have ended. */
  sweepRetired(): void {
    const oldest = Math.min(
      ...this.openFlows
        .keys()
        .filter((flow) => !flow.endless)
        .map((flow) => flow.startedAt),
    )
    this.upstreams.sweepRetired(oldest)
  }

  async close(deadlineMs: number): Promise<void> {
    this.draining = true
    this.listeners.close()
    for (const flow of this.openFlows.keys()) if (flow.endless) endSubscription(flow)
    const deadline = Date.now() + deadlineMs
    const waiting = () => this.openFlows.keys().some((flow) => !flow.endless)
    while (waiting() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10))
    const late = new GatewayError('ERR_SHUTTING_DOWN', 'the gateway was shut down before the answer came', {
      data: { retrySafe: false },
    })
    for (const flow of this.openFlows.keys()) {
      flow.carrier?.cancel(flow, 'the gateway is shutting down')
      flow.fail(late)
    }
    this.closed = true
    this.slowClients.close()
    this.access.gate?.close()
    this.sessions.close()
    await this.upstreams.close()
    // whoever waits for this may end the process next
    await endOfTurn()
  }

  #modernSingle(flow: Flow, upstream: Upstream): void {
    if (flow.settled) return
    const target = requestTarget(flow.method, flow.message.params)
    if (upstream.definition.retry !== undefined)
      this.#aggregator.allowRetry(flow, upstream, target, undefined)
    const { name, guard } = upstream
    forward(flow, { server: name, target, edits: [], carriers: upstream, guard }, this.passage)
  }

  #modernAggregated(flow: Flow, upstreams: readonly Upstream[]): void {
    if (flow.method === 'server/discover') {
      const own = { serverInfo: this.serverInfo, toolset: this.views.toolset(flow.context) }
      flow.begin(undefined, undefined, () => flow.answer(discoverResult(upstreams, own)))
    } else this.#aggregator.modern(flow)
  }

  #mayAsk(
    message: Buffer,
    scan: MessageScan,
    context: RequestContext,
    server: string,
  ): boolean | Promise<boolean> {
    const record = (allowed: boolean) => {
      this.audit.fromServer('request', context, server, message, scan, allowed ? 'ok' : 'refused')
      return allowed
    }
    const method = String(parseJson(message.subarray(scan.methodStart, scan.methodEnd)))
    const allowed = this.access.serverMessages?.allows(context.principal, server, method, message, scan)
    return allowed instanceof Promise ? allowed.then(record) : record(allowed ?? true)
  }

  #noticed(message: Buffer, scan: MessageScan, call: Call, server: string, allowed: boolean): void {
    const status = allowed ? 'ok' : 'refused'
    this.audit.fromServer('notification', call.context, server, message, scan, status)
    if (allowed && !this.listeners.notice(message, scan, call)) call.interim(message, scan)
  }

  /** What callers see is not what they saw. Subscriptions end, so that they begin again with what is allowed now. */
  #policyChanged(): void {
    for (const flow of this.openFlows.keys()) if (flow.endless) endSubscription(flow)
    this.#listChanges.announceAll()
  }

  /** Some session of the tenant gets what the server says unasked. */
  #isHeard(tenant: string, upstream: Upstream): boolean {
    for (const session of this.sessions.all()) {
      if (session.context.principal.tenant !== tenant) continue
      for (const peer of session.peers()) if (peer.upstream === upstream && peer.isHeard) return true
    }
    return false
  }

  /** False if the call cannot be taken now; it is answered then. */
  admits(flow: Flow): boolean {
    const refusal = this.draining
      ? new GatewayError('ERR_SHUTTING_DOWN', 'the gateway is shutting down', { data: { retrySafe: true } })
      : this.budget.admit(flow)
    if (refusal !== undefined) flow.fail(refusal)
    return refusal === undefined
  }

  /** The server, or nothing: the call is refused then. */
  existing(name: string, flow: Flow): Upstream | undefined {
    const upstream = this.upstreams.get(name)
    if (upstream === undefined)
      flow.reject(404, { code: RpcCode.invalidRequest, message: `there is no server "${name}" any more` })
    return upstream
  }
}

/** Ends a subscription the graceful way, with a result (2026-07-28 basic/patterns/subscriptions). */
function endSubscription(flow: Flow): void {
  flow.carrier?.cancel(flow, 'the gateway is shutting down')
  const id: unknown = parseJson(Buffer.from(flow.idText))
  flow.answer(JSON.stringify({ resultType: 'complete', _meta: { [META_SUBSCRIPTION]: id } }))
}

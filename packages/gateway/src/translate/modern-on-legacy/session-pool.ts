import { GatewayError, principalKey, type SallyportError, UpstreamError } from '@sallyport/core'
import type { Call } from '../../call/call.ts'
import type { GatewayLimits } from '../../gateway-options.ts'
import { legacyFacts } from '../../upstream/era.ts'
import type { ModernNotice, QuestionGate } from '../../upstream/modern-link.ts'
import type { Upstream } from '../../upstream/upstream.ts'
import { LATEST_LEGACY } from '../../wire/protocol.ts'
import { PooledSession } from './pooled-session.ts'
import { answersQuestions, legacyCapabilities, type RequestEnvelope, sessionKey } from './request-envelope.ts'
import { isAskable } from './translated-call.ts'

export interface SessionPoolOptions {
  readonly upstream: Upstream
  readonly limits: GatewayLimits
  readonly clientInfo: { readonly name: string; readonly version: string }
  readonly now: () => number
  readonly notice: ModernNotice
  readonly mayAsk: QuestionGate
}

const SWEEP_MS = 1_000
/** What a request says of its client is kept as long as the session is. */
const MAX_KEY_CHARS = 64 * 1_024

/** Sessions with one server, each for requests of one caller that declare the same. */
export class SessionPool {
  readonly #options: SessionPoolOptions
  readonly #sessions = new Map<string, Set<PooledSession>>()
  readonly #owned = new Map<string, number>()
  #size = 0
  #sweep: NodeJS.Timeout | undefined

  constructor(options: SessionPoolOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#size
  }

  /** A session that takes the call, or why there is none. */
  sessionFor(call: Call, envelope: RequestEnvelope): PooledSession | SallyportError {
    const key = isTooLong(call, envelope) ? undefined : sessionKey(call, envelope)
    if (key === undefined || key.length > MAX_KEY_CHARS)
      return new GatewayError('ERR_PROTOCOL', `capabilities and client may take ${MAX_KEY_CHARS} characters`)
    const askable = isAskable(call.method)
    for (const session of this.#sessions.get(key) ?? []) if (session.takes(askable)) return session
    return this.#room(principalKey(call.context.principal)) ?? this.#open(key, call, envelope)
  }

  close(): void {
    for (const session of this.#all()) this.#drop(session)
  }

  /** Lets go of sessions that nobody uses now. */
  closeIdle(): void {
    for (const session of this.#all()) if (session.isIdle) this.#drop(session)
  }

  #open(key: string, { context }: Call, envelope: RequestEnvelope): PooledSession {
    const { upstream, clientInfo, now, notice, mayAsk } = this.#options
    const era = upstream.knownEra
    const facts = era === undefined ? undefined : legacyFacts(era)
    const capabilities = legacyCapabilities(envelope)
    const asks = answersQuestions(capabilities)
    const session = new PooledSession(upstream, {
      key,
      owner: principalKey(context.principal),
      context,
      initializeParams: {
        protocolVersion: LATEST_LEGACY,
        capabilities,
        clientInfo: envelope.clientInfo ?? clientInfo,
      },
      answersQuestions: asks,
      oneAtATime: asks && era?.legacyTransport !== 'streamable-http',
      logs: facts !== undefined && 'logging' in facts.capabilities,
      now,
      notice,
      mayAsk,
      onIdle: (idle) => {
        // the server hears first that the call is cancelled
        if (idle.isSpent) setImmediate(() => this.#drop(idle))
      },
    })
    const sessions = this.#sessions.get(key) ?? new Set()
    this.#sessions.set(key, sessions.add(session))
    this.#owned.set(session.owner, (this.#owned.get(session.owner) ?? 0) + 1)
    this.#size++
    this.#sweep ??= setInterval(() => this.#closeUnused(), SWEEP_MS).unref()
    return session
  }

  /** Makes room for one more, at the expense of the session that was not used for the longest time; an error if all are in use. */
  #room(owner: string): SallyportError | undefined {
    const { upstream, limits } = this.#options
    const { pooledSessions, pooledSessionsPerPrincipal } = limits
    const own = (this.#owned.get(owner) ?? 0) >= pooledSessionsPerPrincipal
    if (own && !this.#dropOldest((session) => session.owner === owner)) {
      const message = `you already have ${pooledSessionsPerPrincipal} sessions with this server in use`
      return new GatewayError('ERR_LIMIT_EXCEEDED', message, { data: { limit: pooledSessionsPerPrincipal } })
    }
    if (this.#size < pooledSessions || this.#dropOldest(() => true)) return undefined
    const message = `all ${pooledSessions} sessions are in use`
    return new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', upstream.name, message, { retrySafe: true })
  }

  #dropOldest(suits: (session: PooledSession) => boolean): boolean {
    let oldest: PooledSession | undefined
    for (const session of this.#all())
      if (session.isIdle && suits(session) && session.usedAt < (oldest?.usedAt ?? Number.POSITIVE_INFINITY))
        oldest = session
    if (oldest !== undefined) this.#drop(oldest)
    return oldest !== undefined
  }

  #closeUnused(): void {
    const { limits, now } = this.#options
    const before = now() - limits.pooledSessionIdleMs
    for (const session of this.#all()) if (session.isIdle && session.usedAt <= before) this.#drop(session)
  }

  #drop(session: PooledSession): void {
    const { key, owner } = session
    if (this.#sessions.get(key)?.delete(session) !== true) return
    if (this.#sessions.get(key)?.size === 0) this.#sessions.delete(key)
    const left = (this.#owned.get(owner) ?? 1) - 1
    if (left > 0) this.#owned.set(owner, left)
    else this.#owned.delete(owner)
    this.#size--
    if (this.#size === 0) {
      clearInterval(this.#sweep)
      this.#sweep = undefined
    }
    session.close()
  }

  #all(): readonly PooledSession[] {
    return [...this.#sessions.values()].flatMap((sessions) => [...sessions])
  }
}

/** To sort the members of something large takes far longer than to see that it is large. */
function isTooLong({ scan }: Call, { capabilities, clientInfo }: RequestEnvelope): boolean {
  return (
    scan.metaEnd - scan.metaStart > MAX_KEY_CHARS &&
    JSON.stringify([capabilities, clientInfo]).length > MAX_KEY_CHARS
  )
}

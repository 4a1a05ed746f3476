import { randomBytes } from 'node:crypto'
import {
  GatewayError,
  type Logger,
  type McpSessionRecord,
  type McpSessionStore,
  type Principal,
  principalKey,
} from '@sallyport/core'
import { observeSession } from '../observe/observed-session.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { isRecord } from '../wire/client-message.ts'
import { LegacySession, type SessionSurroundings } from './legacy-session.ts'

export interface SessionTableOptions {
  readonly store: McpSessionStore
  readonly logger: Logger
  readonly now: () => number
  readonly idleMs: number
  readonly perPrincipal: number
  /** Other processes use the store as well, and may go on with what this one lets go. */
  readonly isShared: boolean
  /** What every session gets, whoever opens it. */
  readonly shared: Omit<SessionSurroundings, 'onUpstreamSession' | 'isShared'>
  /** A session was closed that servers could speak to. */
  readonly onEnded: (session: LegacySession, heard: readonly Upstream[]) => void
  /** Opens peers again for a session that another process has opened. */
  readonly restore: (session: LegacySession, record: McpSessionRecord) => void
}

export interface NewSession {
  readonly principal: Principal
  readonly endpoint: string | undefined
  readonly protocolVersion: string
  readonly initializeParams: Readonly<Record<string, unknown>>
  readonly remoteAddress: string | undefined
  readonly outlet?: (message: Buffer) => void
}

/** For so long a session that was ended by another process may still be used here. */
const VERIFY_MS = 1_000
/** The same for one that only listens. */
const VERIFY_IN_USE_MS = 30_000

/** The legacy sessions of this process, and their shadow in the session store. */
export class SessionTable {
  readonly #options: SessionTableOptions
  readonly #shared: SessionSurroundings
  readonly #sessions = new Map<string, LegacySession>()
  readonly #perOwner = new Map<string, number>()
  readonly #touchedAt = new WeakMap<LegacySession, number>()
  /** When a shared store last had the session; only for those that it has had at all. */
  readonly #verifiedAt = new WeakMap<LegacySession, number>()

  constructor(options: SessionTableOptions) {
    this.#options = options
    this.#shared = {
      ...options.shared,
      isShared: options.isShared,
      onUpstreamSession: ({ id }, server, sessionId) => this.rememberUpstreamSession(id, server, sessionId),
    }
  }

  get size(): number {
    return this.#sessions.size
  }

  all(): Iterable<LegacySession> {
    return this.#sessions.values()
  }

  /** The session exists, but is found by its id only after {@link publish}. Throws at the caller's limit. */
  create(opening: NewSession): LegacySession {
    if ((this.#perOwner.get(principalKey(opening.principal)) ?? 0) >= this.#options.perPrincipal) {
      throw new GatewayError(
        'ERR_LIMIT_EXCEEDED',
        `you already have ${this.#options.perPrincipal} open sessions`,
        {
          data: { limit: 'sessionsPerPrincipal' },
        },
      )
    }
    const session = this.#session(randomBytes(24).toString('base64url'), opening)
    this.#count(session, 1)
    return session
  }

  /** The handshake failed: nobody will ever use the session. */
  discard(session: LegacySession): void {
    if (this.#sessions.has(session.id) || session.closed) return
    session.close()
    this.#count(session, -1)
  }

  /** The client may use the session from now on. */
  publish(session: LegacySession): void {
    this.#sessions.set(session.id, session)
    observeSession(session, false)
    this.#inStore('put', () => {
      const stored = () => {
        if (this.#options.isShared) this.#verifiedAt.set(session, this.#options.now())
      }
      const put = this.#options.store.put(session.record(this.#expiry()))
      if (put instanceof Promise) return put.then(stored)
      stored()
      return undefined
    })
  }

  /**
   * The session with this id, if it is this caller's on this endpoint. Answers at once for sessions of this process;
   * to anybody else a session looks as if it did not exist.
   */
  find(
    id: string,
    principal: Principal,
    endpoint: string | undefined,
  ): LegacySession | undefined | Promise<LegacySession | undefined> {
    const known = this.#sessions.get(id)
    if (known !== undefined) {
      if (known.closed || known.owner !== principalKey(principal) || known.endpoint !== endpoint)
        return undefined
      // nobody has swept since
      if (!this.#options.isShared && this.#isIdle(known)) {
        this.end(known)
        return undefined
      }
      if (this.#isOutdated(known, VERIFY_MS)) return this.#stillThere(known)
      this.#touch(known)
      known.provedBy(principal)
      return known
    }
    const record = this.#options.store.get(id)
    return record instanceof Promise
      ? record.then((found) => this.#restore(found, principal, endpoint))
      : this.#restore(record, principal, endpoint)
  }

  end(session: LegacySession): void {
    if (this.#letGo(session, false)) this.#inStore('delete', () => this.#options.store.delete(session.id))
  }

  /** Ends sessions that nobody used for too long and that wait for nothing. */
  sweep(): void {
    for (const session of [...this.#sessions.values()]) {
      session.sweep()
      if (session.isInUse && this.#isOutdated(session, VERIFY_IN_USE_MS))
        void this.#stillThere(session, false)
      if (!this.#isIdle(session)) continue
      if (this.#options.isShared) this.#sweepShared(session)
      else this.end(session)
    }
  }

  /** Another process may have ended the session since the store was last asked. */
  #isOutdated(session: LegacySession, afterMs: number): boolean {
    const verifiedAt = this.#options.isShared ? this.#verifiedAt.get(session) : undefined
    return verifiedAt !== undefined && verifiedAt <= this.#options.now() - afterMs
  }

  /** The session, unless it was ended elsewhere: then it ends here too. A store that cannot be asked ends nothing. */
  #stillThere(
    session: LegacySession,
    isUse = true,
  ): LegacySession | undefined | Promise<LegacySession | undefined> {
    const verified = (record: McpSessionRecord | undefined) => {
      if (record === undefined) {
        this.#letGo(session, true)
        return undefined
      }
      this.#verifiedAt.set(session, this.#options.now())
      if (isUse) this.#touch(session)
      return session
    }
    const failed = (cause: unknown) => {
      this.#failed('get', cause)
      return session
    }
    try {
      const record = this.#options.store.get(session.id)
      return record instanceof Promise ? record.then(verified, failed) : verified(record)
    } catch (cause) {
      return failed(cause)
    }
  }

  #isIdle(session: LegacySession): boolean {
    return !session.isInUse && session.lastUsedAt <= this.#options.now() - this.#options.idleMs
  }

  /** A session that another process keeps alive is let go here and lives on there. */
  #sweepShared(session: LegacySession): void {
    this.#inStore('get', () => {
      const record = this.#options.store.get(session.id)
      if (!(record instanceof Promise)) this.#sweepByRecord(session, record)
      else return record.then((found) => this.#sweepByRecord(session, found))
      return undefined
    })
  }

  #sweepByRecord(session: LegacySession, record: McpSessionRecord | undefined): void {
    if (record === undefined) this.end(session)
    else this.#letGo(session, true)
  }

  #letGo(session: LegacySession, keepUpstreamSessions: boolean): boolean {
    const heard = [...session.peers()].flatMap((peer) => (peer.isHeard ? peer.upstream : []))
    session.close(keepUpstreamSessions)
    if (!this.#sessions.delete(session.id)) return false
    session.observed?.ended()
    this.#count(session, -1)
    if (heard.length > 0) this.#options.onEnded(session, heard)
    return true
  }

  /** Ends all of them here; another process may go on with those in a shared store. */
  close(): void {
    for (const session of this.#sessions.values()) {
      session.close(this.#options.isShared)
      session.observed?.ended()
    }
    this.#sessions.clear()
    this.#perOwner.clear()
  }

  rememberUpstreamSession(id: string, server: string, sessionId: string): void {
    this.#inStore('update', () =>
      this.#options.store.update(id, { upstreamSessions: { [server]: sessionId } }),
    )
  }

  #restore(
    record: McpSessionRecord | undefined,
    principal: Principal,
    endpoint: string | undefined,
  ): LegacySession | undefined {
    if (record === undefined || record.owner !== principalKey(principal) || record.endpoint !== endpoint)
      return undefined
    const here = this.#sessions.get(record.id)
    if (here !== undefined) return here
    const initializeParams: unknown = JSON.parse(record.initializeParams)
    const session = this.#session(record.id, {
      principal,
      endpoint,
      protocolVersion: record.protocolVersion,
      initializeParams: isRecord(initializeParams) ? initializeParams : {},
      remoteAddress: undefined,
    })
    this.#add(session)
    observeSession(session, true)
    this.#verifiedAt.set(session, this.#options.now())
    this.#touch(session)
    this.#options.restore(session, record)
    return session
  }

  #session(id: string, opening: NewSession): LegacySession {
    const { principal, endpoint, protocolVersion, initializeParams, remoteAddress, outlet } = opening
    // nothing else of the opening: a session outlives the request that opened it
    return new LegacySession({
      id,
      principal,
      endpoint,
      protocolVersion,
      initializeParams,
      remoteAddress,
      outlet,
      shared: this.#shared,
    })
  }

  #add(session: LegacySession): void {
    this.#sessions.set(session.id, session)
    this.#count(session, 1)
  }

  #count({ owner }: LegacySession, change: 1 | -1): void {
    const left = (this.#perOwner.get(owner) ?? 0) + change
    if (left > 0) this.#perOwner.set(owner, left)
    else this.#perOwner.delete(owner)
  }

  /** The store hears of use now and then, not with every message. */
  #touch(session: LegacySession): void {
    const now = this.#options.now()
    session.lastUsedAt = now
    if (now - (this.#touchedAt.get(session) ?? 0) < this.#options.idleMs / 10) return
    this.#touchedAt.set(session, now)
    this.#inStore('update', () => this.#options.store.update(session.id, { expiresAt: this.#expiry() }))
  }

  #expiry(): number {
    return this.#options.now() + this.#options.idleMs
  }

  /** The store is a shadow: its failure is reported and does not end a session that lives here. */
  #inStore(what: string, run: () => unknown): void {
    const failed = (cause: unknown) => this.#failed(what, cause)
    try {
      const done = run()
      if (done instanceof Promise) done.catch(failed)
    } catch (cause) {
      failed(cause)
    }
  }

  #failed(what: string, cause: unknown): void {
    this.#options.logger.error('the session store failed', { operation: what, cause: String(cause) })
  }
}

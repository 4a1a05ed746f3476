import type { LegacySession } from '../legacy/legacy-session.ts'
import { sessionEnded, sessionOpened } from './channels.ts'
import type { GatewaySession } from './events.ts'

/** Tells subscribers of a session, and remembers it for the news of its end. @param restored another process opened it */
export function observeSession(session: LegacySession, restored: boolean): void {
  if (!sessionOpened.hasSubscribers && !sessionEnded.hasSubscribers) return
  session.observed = new ObservedSession(session, restored)
}

/** One session that was opened before subscribers' eyes. */
export class ObservedSession {
  readonly #session: GatewaySession
  readonly #openedAt = performance.now()

  constructor({ id, protocolVersion, endpoint, context }: LegacySession, restored: boolean) {
    const { tenant, subject } = context.principal
    this.#session = { sessionId: id, era: 'legacy', protocolVersion, endpoint, tenant, subject, restored }
    sessionOpened.publish(this.#session)
  }

  ended(): void {
    sessionEnded.publish({ session: this.#session, durationMs: performance.now() - this.#openedAt })
  }
}

import { notificationMessage } from '../wire/json-rpc.ts'
import { LISTS } from '../aggregate/list-kind.ts'
import type { LegacySession } from './legacy-session.ts'

/** A burst of changes is announced once. */
const DEBOUNCE_MS = 25

/** Tells sessions on the aggregated endpoint that a list has changed, whichever session's server said so. */
export class ListChanges {
  readonly #sessions: () => Iterable<LegacySession>
  readonly #pending = new Map<string, NodeJS.Timeout>()

  constructor(sessions: () => Iterable<LegacySession>) {
    this.#sessions = sessions
  }

  announce(tenant: string | undefined, method: string): void {
    const key = JSON.stringify([tenant ?? null, method])
    if (this.#pending.has(key)) return
    const timer = setTimeout(() => {
      this.#pending.delete(key)
      const message = notificationMessage(method)
      for (const session of this.#sessions()) {
        const concerned = tenant === undefined || session.context.principal.tenant === tenant
        if (concerned && session.endpoint === undefined) session.tell(message)
      }
    }, DEBOUNCE_MS)
    this.#pending.set(key, timer)
  }

  /** The set of servers has changed. */
  announceAll(): void {
    for (const method of new Set(LISTS.map(({ changed }) => changed))) this.announce(undefined, method)
  }
}

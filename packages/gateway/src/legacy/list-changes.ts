import { notificationMessage } from '../wire/json-rpc.ts'
import { LISTS } from '../aggregate/list-kind.ts'
import type { LegacySession } from './legacy-session.ts'

const METHODS: ReadonlySet<string> = new Set(LISTS.map(({ changed }) => changed))

/** A burst of changes is announced once. */
const DEBOUNCE_MS = 25
/** That a server had to be opened again is suspected to be a change this often, however many sessions find it out. */
const SUSPICION_MS = 10_000

/** Tells sessions on the aggregated endpoint that a list has changed, whichever session's server said so. */
export class ListChanges {
  readonly #sessions: () => Iterable<LegacySession>
  readonly #now: () => number
  readonly #pending = new Map<string, NodeJS.Timeout>()
  readonly #suspectedAt = new Map<string, number>()

  constructor(sessions: () => Iterable<LegacySession>, now: () => number) {
    this.#sessions = sessions
    this.#now = now
  }

  /** A server was opened again: its lists may have changed without anybody being told. */
  suspect(tenant: string, server: string): void {
    const key = JSON.stringify([tenant, server])
    const now = this.#now()
    if (now - (this.#suspectedAt.get(key) ?? Number.NEGATIVE_INFINITY) < SUSPICION_MS) return
    this.#suspectedAt.set(key, now)
    this.announceAll(tenant)
  }

  announce(tenant: string | undefined, method: string): void {
    const key = JSON.stringify([tenant ?? null, method])
    if (this.#pending.has(key)) return
    const timer = setTimeout(() => {
      this.#pending.delete(key)
      const message = notificationMessage(method)
      for (const session of this.#sessions()) {
        const concerned = tenant === undefined || session.context.principal.tenant === tenant
        if (concerned && session.joined) session.tell(message)
      }
    }, DEBOUNCE_MS)
    this.#pending.set(key, timer)
  }

  /** Anything may have changed: the set of servers (for every tenant), or what one of them offers. */
  announceAll(tenant?: string): void {
    for (const method of METHODS) this.announce(tenant, method)
  }
}

import type { Call } from '../../call/call.ts'
import type { ModernLink } from '../../upstream/modern-link.ts'
import type { LegacyLink } from './legacy-link.ts'

/**
 * The link to a server that spoke the legacy era when calls began that still wait for their clients, and speaks the modern one
 * now: those calls end where they began.
 */
export class HandoverLink implements ModernLink {
  readonly #before: LegacyLink
  readonly #now: ModernLink

  constructor(before: LegacyLink, now: ModernLink) {
    this.#before = before
    this.#now = now
  }

  get process(): ModernLink['process'] {
    return this.#now.process
  }

  send(call: Call): void {
    if (this.#before.gave(call)) this.#before.send(call)
    else this.#now.send(call)
  }

  cancel(call: Call, reason: string | undefined): void {
    this.#before.cancel(call, reason)
    this.#now.cancel(call, reason)
  }

  close(): Promise<void> {
    return this.#now.close()
  }
}

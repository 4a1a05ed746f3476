import {
  type AuditRecorder,
  type AuditTicket,
  type CallIntent,
  type CallOutcome,
  GatewayError,
  type Logger,
} from '@sallyport/core'

const recordsNothing: AuditTicket = { end() {} }

/** The gateway's side of the audit port: what must wait for the recorder waits, and no failure goes unseen. */
export class AuditTrail {
  readonly #recorder: AuditRecorder | undefined
  readonly #logger: Logger
  readonly #now: () => number

  constructor(recorder: AuditRecorder | undefined, logger: Logger, now: () => number) {
    this.#recorder = recorder
    this.#logger = logger
    this.#now = now
  }

  now(): number {
    return this.#now()
  }

  /** Calls `proceed` once the intent is recorded, at once where the recorder needs no promise, or `refuse` if it cannot be. */
  begin(
    intent: CallIntent,
    proceed: (ticket: AuditTicket) => void,
    refuse: (error: GatewayError) => void,
  ): void {
    let begun: AuditTicket | Promise<AuditTicket>
    try {
      begun = this.#recorder?.begin(intent) ?? recordsNothing
    } catch (cause) {
      refuse(this.#unavailable(cause))
      return
    }
    if (begun instanceof Promise) begun.then(proceed, (cause: unknown) => refuse(this.#unavailable(cause)))
    else proceed(begun)
  }

  end(ticket: AuditTicket, outcome: CallOutcome): void {
    try {
      const ended = ticket.end(outcome)
      if (ended instanceof Promise) ended.catch((cause: unknown) => this.#lost(cause))
    } catch (cause) {
      this.#lost(cause)
    }
  }

  /** For what is recorded without holding anything up: notifications, responses, refusals, traffic of servers. */
  note(intent: CallIntent, outcome: Omit<CallOutcome, 'durationMs'>): void {
    const end = (ticket: AuditTicket) =>
      this.end(ticket, { ...outcome, durationMs: Math.max(0, this.#now() - intent.at) })
    this.begin(intent, end, (error) => this.#lost(error))
  }

  #unavailable(cause: unknown): GatewayError {
    return new GatewayError('ERR_AUDIT_UNAVAILABLE', 'the audit log does not take entries now', { cause })
  }

  #lost(cause: unknown): void {
    this.#logger.error('an audit entry could not be written', { cause: String(cause) })
  }
}

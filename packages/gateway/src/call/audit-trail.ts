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

  /** Records an intent. The answer is an error, not a rejection, if it cannot be recorded; no promise unless the recorder needs one. */
  begin(intent: CallIntent): AuditTicket | GatewayError | Promise<AuditTicket | GatewayError> {
    try {
      const begun = this.#recorder?.begin(intent) ?? recordsNothing
      return begun instanceof Promise ? begun.catch((cause: unknown) => this.#unavailable(cause)) : begun
    } catch (cause) {
      return this.#unavailable(cause)
    }
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
    const begun = this.begin(intent)
    if (begun instanceof Promise) void begun.then((ticket) => this.#close(ticket, intent, outcome))
    else this.#close(begun, intent, outcome)
  }

  #close(
    begun: AuditTicket | GatewayError,
    intent: CallIntent,
    outcome: Omit<CallOutcome, 'durationMs'>,
  ): void {
    if (begun instanceof GatewayError) this.#lost(begun.cause)
    else this.end(begun, { ...outcome, durationMs: Math.max(0, this.#now() - intent.at) })
  }

  #unavailable(cause: unknown): GatewayError {
    return new GatewayError('ERR_AUDIT_UNAVAILABLE', 'the audit log does not take entries now', { cause })
  }

  #lost(cause: unknown): void {
    this.#logger.error('an audit entry could not be written', { cause: String(cause) })
  }
}

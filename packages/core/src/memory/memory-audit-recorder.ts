import type { AuditRecorder, AuditTicket, CallIntent, CallOutcome } from '../audit-recorder.ts'

/** An intent, and its outcome once that is known. */
export interface MemoryAuditEntry {
  readonly intent: CallIntent
  readonly outcome: CallOutcome | undefined
}

export interface MemoryAuditRecorder extends AuditRecorder {
  /** Oldest first; copies, which do not change any more. */
  entries(): readonly MemoryAuditEntry[]
}

/** Names of methods and tools come again and again; more different ones than this are not worth looking up. */
const MAX_NAMES = 1_000

/**
 * Keeps the newest entries in memory: for development, tests, and as the reference of the port.
 *
 * The slots are made once and written over. Entries that were kept as they come would each live just long enough to be moved to
 * the old generation, and the collector would spend more time on them than the gateway on the calls.
 * @param options.capacity entries kept (default 10,000); the oldest make room
 */
export function createMemoryAuditRecorder(options: { capacity?: number } = {}): MemoryAuditRecorder {
  const capacity = options.capacity ?? 10_000
  const ring: Slot[] = []
  const names = new Map<string, string>()
  let next = 0
  return {
    begin(intent) {
      let slot = ring[next]
      if (slot === undefined) {
        slot = new Slot()
        ring.push(slot)
      }
      next = (next + 1) % capacity
      slot.write(intent, kept(names, intent.method), kept(names, intent.target))
      return new Ticket(slot)
    },
    entries: () => [...ring.slice(next), ...ring.slice(0, next)].map((slot) => slot.entry()),
  }
}

/** The equal string that was kept first, so that the newer one need not live on. */
function kept(names: Map<string, string>, name: string | undefined): string | undefined {
  if (name === undefined) return undefined
  const known = names.get(name)
  if (known !== undefined) return known
  if (names.size < MAX_NAMES) names.set(name, name)
  return name
}

type Mutable<Record> = { -readonly [Name in keyof Record]-?: Record[Name] }

class Slot {
  /** Tells tickets of entries that have been written over. */
  turn = 0
  readonly #intent: Mutable<CallIntent> = {
    at: 0,
    from: 'client',
    kind: 'request',
    principal: undefined,
    era: undefined,
    sessionId: undefined,
    remoteAddress: undefined,
    endpoint: undefined,
    server: undefined,
    method: undefined,
    target: undefined,
    requestId: undefined,
    bytes: 0,
    trace: undefined,
  }
  readonly #outcome: Mutable<CallOutcome> = { status: 'ok', code: undefined, durationMs: 0, bytes: 0 }
  #hasEnded = false

  write(intent: CallIntent, method: string | undefined, target: string | undefined): void {
    const own = this.#intent
    own.at = intent.at
    own.from = intent.from
    own.kind = intent.kind
    own.principal = intent.principal
    own.era = intent.era
    own.sessionId = intent.sessionId
    own.remoteAddress = intent.remoteAddress
    own.endpoint = intent.endpoint
    own.server = intent.server
    own.method = method
    own.target = target
    own.requestId = intent.requestId
    own.bytes = intent.bytes
    own.trace = intent.trace
    this.#hasEnded = false
    this.turn++
  }

  end(outcome: CallOutcome): void {
    const own = this.#outcome
    own.status = outcome.status
    own.code = outcome.code
    own.durationMs = outcome.durationMs
    own.bytes = outcome.bytes
    this.#hasEnded = true
  }

  entry(): MemoryAuditEntry {
    return { intent: present(this.#intent), outcome: this.#hasEnded ? present(this.#outcome) : undefined }
  }
}

/** A copy without the members that are `undefined`. */
function present<Value extends object>(value: Value): Value {
  const copy = { ...value }
  for (const name in copy) if (copy[name] === undefined) delete copy[name]
  return copy
}

class Ticket implements AuditTicket {
  readonly #slot: Slot
  readonly #turn: number

  constructor(slot: Slot) {
    this.#slot = slot
    this.#turn = slot.turn
  }

  end(outcome: CallOutcome): void {
    // the newest entry has taken the place of this one
    if (this.#slot.turn === this.#turn) this.#slot.end(outcome)
  }
}

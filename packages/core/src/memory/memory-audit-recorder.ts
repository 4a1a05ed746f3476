import type { AuditRecorder, AuditTicket, CallIntent, CallOutcome } from '../audit-recorder.ts'

/** An intent, and its outcome once that is known. */
export interface MemoryAuditEntry {
  readonly intent: CallIntent
  readonly outcome: CallOutcome | undefined
}

export interface MemoryAuditRecorder extends AuditRecorder {
  /** Oldest first. */
  entries(): readonly MemoryAuditEntry[]
}

/**
 * Keeps the newest entries in memory: for development, tests, and as the reference of the port.
 * @param options.capacity entries kept (default 10,000); the oldest make room
 */
export function createMemoryAuditRecorder(options: { capacity?: number } = {}): MemoryAuditRecorder {
  const capacity = options.capacity ?? 10_000
  const ring: Entry[] = []
  let next = 0
  return {
    begin(intent) {
      const entry = new Entry(intent)
      if (ring.length < capacity) ring.push(entry)
      else ring[next] = entry
      next = (next + 1) % capacity
      return entry
    },
    entries: () => (ring.length < capacity ? ring.slice() : [...ring.slice(next), ...ring.slice(0, next)]),
  }
}

class Entry implements AuditTicket, MemoryAuditEntry {
  readonly intent: CallIntent
  outcome: CallOutcome | undefined

  constructor(intent: CallIntent) {
    this.intent = intent
  }

  end(outcome: CallOutcome): void {
    this.outcome = outcome
  }
}

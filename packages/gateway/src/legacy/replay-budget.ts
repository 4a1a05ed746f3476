/** Something that keeps events for a client that may come back. */
export interface ReplayKeeper {
  /** Throws away what is kept. */
  discardKept(): void
}

export interface ReplayLimits {
  readonly replayBytesPerPrincipal: number
  readonly replayBytes: number
}

/**
 * How much is kept for clients that may come back with `Last-Event-ID`, over all streams and sessions of one caller and of the
 * process. Limits per stream alone would leave it to the caller how many streams there are.
 */
export class ReplayBudget {
  readonly limits: ReplayLimits
  readonly #callers = new Map<string, CallerReplay>()
  bytes = 0

  constructor(limits: ReplayLimits) {
    this.limits = limits
  }

  of(caller: string): CallerReplay {
    const known = this.#callers.get(caller)
    if (known !== undefined) return known
    const replay = new CallerReplay(this, () => this.#callers.delete(caller))
    this.#callers.set(caller, replay)
    return replay
  }

  /** Makes room at the expense of whoever keeps the most. */
  relieve(): void {
    while (this.bytes > this.limits.replayBytes) {
      let largest: CallerReplay | undefined
      for (const caller of this.#callers.values())
        if (largest === undefined || caller.bytes > largest.bytes) largest = caller
      if (largest === undefined || !largest.discardOldest()) return
    }
  }
}

/** What is kept for one caller. */
export class CallerReplay {
  readonly #budget: ReplayBudget
  readonly #onUnused: () => void
  /** Oldest first: what was kept first is the least likely to be asked for. */
  readonly #keepers = new Map<ReplayKeeper, number>()
  #sessions = 0
  bytes = 0

  constructor(budget: ReplayBudget, onUnused: () => void) {
    this.#budget = budget
    this.#onUnused = onUnused
  }

  /** A session uses this; it calls {@link leave} when it ends. */
  join(): void {
    this.#sessions++
  }

  leave(): void {
    if (--this.#sessions === 0) this.#onUnused()
  }

  /** `keeper` now keeps so many bytes. */
  update(keeper: ReplayKeeper, bytes: number): void {
    const change = bytes - (this.#keepers.get(keeper) ?? 0)
    if (bytes === 0) this.#keepers.delete(keeper)
    else this.#keepers.set(keeper, bytes)
    this.bytes += change
    this.#budget.bytes += change
    if (change <= 0) return
    while (this.bytes > this.#budget.limits.replayBytesPerPrincipal && this.discardOldest());
    this.#budget.relieve()
  }

  /** False if nothing is kept. */
  discardOldest(): boolean {
    const [oldest] = this.#keepers.keys()
    oldest?.discardKept()
    return oldest !== undefined
  }
}

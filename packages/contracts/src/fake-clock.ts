/** Time that passes when a test says so. */
export interface FakeClock {
  /** Milliseconds since the epoch; a function of its own, to be passed as `now`. */
  readonly now: () => number
  /** Lets time pass and wakes, in order, whoever sleeps no longer. */
  advance(ms: number): void
  readonly sleep: (ms: number) => Promise<void>
}

export function createFakeClock(startMs = Date.UTC(2030, 0, 1)): FakeClock {
  let current = startMs
  let sleepers: { readonly until: number; readonly wake: () => void }[] = []
  return {
    now: () => current,
    advance(ms) {
      current += ms
      const due = sleepers.filter(({ until }) => until <= current).toSorted((a, b) => a.until - b.until)
      sleepers = sleepers.filter(({ until }) => until > current)
      for (const { wake } of due) wake()
    },
    sleep: (ms) =>
      new Promise((resolve) => {
        if (ms <= 0) resolve()
        else sleepers.push({ until: current + ms, wake: resolve })
      }),
  }
}

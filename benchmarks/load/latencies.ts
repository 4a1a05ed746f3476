/** Every latency of a window, kept exactly: a histogram's rounding would be larger than some differences shown here. */
export class Latencies {
  #values = new Float64Array(1 << 16)
  #count = 0

  get count(): number {
    return this.#count
  }

  record(latencyMs: number): void {
    if (this.#count === this.#values.length) {
      const grown = new Float64Array(this.#values.length * 2)
      grown.set(this.#values)
      this.#values = grown
    }
    this.#values[this.#count++] = latencyMs
  }

  summarise(): LatencySummary {
    const sorted = this.#values.subarray(0, this.#count).toSorted()
    return {
      p50Ms: percentile(sorted, 50),
      p95Ms: percentile(sorted, 95),
      p99Ms: percentile(sorted, 99),
      maxMs: percentile(sorted, 100),
    }
  }
}

export interface LatencySummary {
  p50Ms: number
  p95Ms: number
  p99Ms: number
  maxMs: number
}

/** Nearest rank: the smallest value that at least `rank` per cent of all values do not exceed. NaN when there are none. */
export function percentile(sorted: ArrayLike<number>, rank: number): number {
  const index = Math.max(0, Math.ceil((rank / 100) * sorted.length) - 1)
  return sorted[index] ?? Number.NaN
}

/** The middle value, or the mean of the two middle ones. NaN when there are none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

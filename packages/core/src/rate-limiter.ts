/** How much of something is allowed in how long a time. */
export interface RateLimit {
  /** Keeps the counters of different limits apart. */
  readonly name: string
  readonly points: number
  readonly durationSeconds: number
}

export interface RateLimitVerdict {
  readonly allowed: boolean
  /** Points that are left in the current window; 0 if it is not allowed. */
  readonly remaining: number
  /** Milliseconds until the window ends and all points are back. */
  readonly resetMs: number
}

/**
 * Counts what callers do.
 *
 * `consume` takes one point for `key` from `limit`, if there is one. The window of a key begins with the first point that is
 * taken and ends after `durationSeconds`; all its points are back in the millisecond in which it ends. What is
 * refused does not make the window longer. Keys are compared exactly and may hold any characters; one key under two limits is two
 * counters. It is atomic: of any number of calls at the same time, in any number of processes that share a backend, `points`
 * are allowed.
 *
 * It should answer without a promise when it can: it is on the way of every call. A dead backend is a
 * `StorageUnavailableError`, thrown or as a rejection, never a guess.
 */
export interface RateLimiter {
  consume(limit: RateLimit, key: string): RateLimitVerdict | Promise<RateLimitVerdict>
}

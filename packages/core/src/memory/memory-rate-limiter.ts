import type { RateLimit, RateLimiter, RateLimitVerdict } from '../rate-limiter.ts'

/**
 * Counts in this process, without timers: windows that are over are dropped when others begin.
 * @param options.now clock in milliseconds since the epoch (default `Date.now`)
 * @param options.capacity windows kept per limit (default 100,000); when there are more, the oldest are forgotten
 */
export function createMemoryRateLimiter(
  options: { now?: () => number; capacity?: number } = {},
): RateLimiter {
  const { now = Date.now, capacity = 100_000 } = options
  const counters = new Map<string, Map<string, Window>>()
  return {
    consume(limit, key) {
      const windows = counters.get(limit.name) ?? begin(counters, limit.name)
      const at = now()
      const open = windows.get(key)
      if (open !== undefined && open.endsAt > at) return take(open, limit, at)
      const window: Window = { used: 0, endsAt: at + limit.durationSeconds * 1_000 }
      // last in the map, so that the map is in the order in which windows end
      windows.delete(key)
      windows.set(key, window)
      for (const [oldest, { endsAt }] of windows) {
        if (endsAt > at && windows.size <= capacity) break
        windows.delete(oldest)
      }
      return take(window, limit, at)
    },
  }
}

interface Window {
  used: number
  readonly endsAt: number
}

function begin(counters: Map<string, Map<string, Window>>, name: string): Map<string, Window> {
  const windows = new Map<string, Window>()
  counters.set(name, windows)
  return windows
}

function take(window: Window, limit: RateLimit, at: number): RateLimitVerdict {
  const allowed = window.used < limit.points
  if (allowed) window.used++
  return { allowed, remaining: limit.points - window.used, resetMs: window.endsAt - at }
}

import { createHash } from 'node:crypto'
import {
  type RateLimit,
  type RateLimiter,
  type RateLimitVerdict,
  StorageUnavailableError,
} from '@sallyport/core'

/** What is needed of a limiter of the library rate-limiter-flexible; every one of them has it. */
export interface FlexibleLimiter {
  /** Rejects with such a result when there are no points left, and with an `Error` when the backend is dead. */
  consume(key: string): Promise<FlexibleResult>
}

export interface FlexibleResult {
  readonly remainingPoints: number
  readonly msBeforeNext: number
}

export interface FlexibleRateLimiterOptions {
  /** Makes the limiter for one limit: `(settings) => new RateLimiterRedis({ storeClient, ...settings })`. Called once for each. */
  readonly create: (settings: {
    readonly keyPrefix: string
    readonly points: number
    /** Seconds. */
    readonly duration: number
  }) => FlexibleLimiter
}

/**
 * Counts with rate-limiter-flexible, in whatever it can count in: Redis, Valkey, PostgreSQL, MySQL, DynamoDB and others. Keys are
 * hashed, because they hold the names of callers, and because some stores limit their length or ignore case.
 */
export function createFlexibleRateLimiter({ create }: FlexibleRateLimiterOptions): RateLimiter {
  const limiters = new Map<string, FlexibleLimiter>()
  const limiterFor = ({ name, points, durationSeconds }: RateLimit) => {
    const id = JSON.stringify([name, points, durationSeconds])
    const known = limiters.get(id)
    if (known !== undefined) return known
    const made = create({ keyPrefix: `sallyport:rate:${name}`, points, duration: durationSeconds })
    limiters.set(id, made)
    return made
  }
  return {
    async consume(limit, key) {
      const hash = createHash('sha256').update(key).digest('hex')
      try {
        return verdictOf(await limiterFor(limit).consume(hash), true)
      } catch (rejected) {
        if (isResult(rejected)) return verdictOf(rejected, false)
        throw new StorageUnavailableError('the rate limiter does not answer', { cause: rejected })
      }
    },
  }
}

function verdictOf({ remainingPoints, msBeforeNext }: FlexibleResult, allowed: boolean): RateLimitVerdict {
  return { allowed, remaining: Math.max(0, remainingPoints), resetMs: Math.max(0, msBeforeNext) }
}

function isResult(value: unknown): value is FlexibleResult {
  return (
    typeof value === 'object' &&
    value !== null &&
    !(value instanceof Error) &&
    'remainingPoints' in value &&
    typeof value.remainingPoints === 'number' &&
    'msBeforeNext' in value &&
    typeof value.msBeforeNext === 'number'
  )
}

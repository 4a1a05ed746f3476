import assert from 'node:assert/strict'
import { type RateLimit, type RateLimiter, SallyportError } from '@sallyport/core'
import { type ContractCase, casesFor } from './contract-case.ts'
import { createFakeClock } from './fake-clock.ts'

export interface RateLimiterSubject {
  readonly limiter: RateLimiter
  close?(): void | Promise<void>
}

/** Lets time pass for a limiter. */
export interface RateLimiterClock {
  readonly now: () => number
  advance(ms: number): void | Promise<void>
}

/**
 * The contract of `RateLimiter`.
 * @param options.open a limiter that has counted nothing and takes the time from `clock`
 * @param options.clock lets time pass, where a limiter cannot be given the time (default: a clock that only tests move)
 * @param options.openDead a limiter whose backend is dead, if it can be had
 */
export function rateLimiterContract(options: {
  open(clock: RateLimiterClock): RateLimiterSubject | Promise<RateLimiterSubject>
  clock?(): RateLimiterClock
  openDead?(): RateLimiter | Promise<RateLimiter>
}): ContractCase[] {
  const { openDead } = options
  const open = async () => {
    const clock = options.clock?.() ?? createFakeClock()
    return { ...(await options.open(clock)), clock }
  }
  const cases = casesFor(open, checks)
  if (openDead === undefined) return cases
  return [
    ...cases,
    {
      name: 'a dead backend is an error, neither yes nor no',
      async run() {
        const dead = await openDead()
        await assert.rejects(
          async () => dead.consume(three, 'key'),
          (error) => SallyportError.isInstance(error) && error.code === 'ERR_STORAGE_UNAVAILABLE',
        )
      },
    },
  ]
}

type Subject = RateLimiterSubject & { readonly clock: RateLimiterClock }

const three: RateLimit = { name: 'three', points: 3, durationSeconds: 10 }

const checks: Record<string, (subject: Subject) => Promise<void>> = {
  async 'points are counted down and then refused'({ limiter }) {
    const verdicts = []
    for (let count = 0; count < 5; count++) verdicts.push(await limiter.consume(three, 'key'))
    assert.deepEqual(
      verdicts.map(({ allowed, remaining }) => [allowed, remaining]),
      [
        [true, 2],
        [true, 1],
        [true, 0],
        [false, 0],
        [false, 0],
      ],
    )
    for (const { resetMs } of verdicts)
      assert.ok(resetMs > 0 && resetMs <= 10_000, `resetMs is ${resetMs}: not within the window`)
  },

  async 'a window begins with the first point and is not made longer'({ limiter, clock }) {
    await limiter.consume(three, 'key')
    await clock.advance(6_000)
    for (let count = 0; count < 5; count++) await limiter.consume(three, 'key')
    const refused = await limiter.consume(three, 'key')
    assert.equal(refused.allowed, false)
    assert.ok(refused.resetMs <= 4_000, `resetMs is ${refused.resetMs}: the window was made longer`)
    await clock.advance(refused.resetMs)
    const again = await limiter.consume(three, 'key')
    assert.deepEqual([again.allowed, again.remaining], [true, 2])
  },

  async 'keys are counted apart, whatever they hold'({ limiter }) {
    const keys = [
      'a',
      'A',
      'a ',
      'a:b',
      'a/b',
      'ä',
      '["a"]',
      '__proto__',
      'constructor',
      '\u0000',
      'x'.repeat(500),
    ]
    for (const key of keys) {
      const { allowed, remaining } = await limiter.consume(three, key)
      assert.deepEqual([allowed, remaining], [true, 2], `key ${JSON.stringify(key)} was counted before`)
    }
  },

  async 'one key under two limits is two counters'({ limiter }) {
    const one: RateLimit = { name: 'one', points: 1, durationSeconds: 10 }
    assert.equal((await limiter.consume(one, 'key')).allowed, true)
    assert.equal((await limiter.consume(one, 'key')).allowed, false)
    assert.equal((await limiter.consume(three, 'key')).remaining, 2)
  },

  async 'of many at the same time, as many as there are points are allowed'({ limiter }) {
    const verdicts = await Promise.all(
      Array.from({ length: 50 }, async () => limiter.consume({ ...three, points: 20 }, 'key')),
    )
    assert.equal(verdicts.filter(({ allowed }) => allowed).length, 20)
    const remaining = verdicts.flatMap((verdict) => (verdict.allowed ? [verdict.remaining] : []))
    assert.equal(new Set(remaining).size, 20, 'two calls were given the same point')
  },
}

import { createMemoryRateLimiter } from '@sallyport/core/memory'
import { expect, test } from 'vitest'
import { createFakeClock, delayed, failing, rateLimiterContract } from '../src/index.ts'

const cases = rateLimiterContract({
  open: (clock) => ({ limiter: createMemoryRateLimiter(clock) }),
  openDead: () => failing(createMemoryRateLimiter()),
})
test.each(cases)('$name', async ({ run }) => expect(run()).resolves.toBeUndefined())

const slow = rateLimiterContract({
  open: (clock) => ({ limiter: delayed(createMemoryRateLimiter(clock), 1) }),
  openDead: () => failing(createMemoryRateLimiter(), { synchronously: true }),
})
test.each(slow)('slow: $name', async ({ run }) => expect(run()).resolves.toBeUndefined())

const limit = { name: 'l', points: 1, durationSeconds: 10 }

test('answers at once', () => {
  expect(createMemoryRateLimiter().consume(limit, 'key')).toMatchObject({ allowed: true })
})

test('forgets the oldest windows when it is full, and those that are over', async () => {
  const clock = createFakeClock()
  const limiter = createMemoryRateLimiter({ now: clock.now, capacity: 2 })
  await limiter.consume(limit, 'a')
  await limiter.consume(limit, 'b')
  await limiter.consume(limit, 'c')
  expect(await limiter.consume(limit, 'b')).toMatchObject({ allowed: false })
  expect(await limiter.consume(limit, 'a')).toMatchObject({ allowed: true })
  clock.advance(10_000)
  expect(await limiter.consume(limit, 'c')).toMatchObject({ allowed: true })
})

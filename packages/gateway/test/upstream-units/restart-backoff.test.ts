import { silentLogger, UpstreamError } from '@sallyport/core'
import { describe, expect, it } from 'vitest'
import { RestartBackoff } from '../../src/upstream/restart-backoff.ts'

function start() {
  let at = 0
  const options = { server: 's', firstMs: 500, longestMs: 1_500, logger: silentLogger, now: () => at }
  const backoff = new RestartBackoff(options)
  const error = new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', 's', 'ended (exit code 3)')
  const crash = (ranMs = 10, hasServed = false) => backoff.crashed(error, ranMs, hasServed)
  const pass = (ms: number) => {
    at += ms
  }
  return { backoff, crash, pass }
}

describe('a process that ends by itself', () => {
  it('twice is started again at once; from the third time on after longer and longer', () => {
    const { backoff, crash, pass } = start()
    crash()
    crash()
    expect(backoff.refusal).toBeUndefined()
    for (const waitMs of [500, 1_000, 1_500, 1_500]) {
      crash()
      expect(backoff.refusal).toMatchObject({
        code: 'ERR_UPSTREAM_UNAVAILABLE',
        retrySafe: true,
        retryAfterMs: waitMs,
        message:
          'server "s": keeps ending before it has answered a call: ended (exit code 3); it is started again later',
      })
      pass(waitMs)
      expect(backoff.refusal).toBeUndefined()
    }
  })

  it.each([
    ['after a good while', 10_000, false],
    ['but had answered calls', 10, true],
  ])('%s is not in a loop', (_, ranMs, hasServed) => {
    const { backoff, crash } = start()
    for (let count = 0; count < 3; count++) crash()
    crash(ranMs, hasServed)
    expect(backoff.refusal).toBeUndefined()
    crash()
    crash()
    expect(backoff.refusal).toBeUndefined()
  })
})

import { type RateLimiter, StorageUnavailableError } from '@sallyport/core'
import { createFakeClock, type RateLimiterClock, rateLimiterContract } from '@sallyport/contracts'
import { RateLimiterMemory } from 'rate-limiter-flexible'
import { afterEach, describe, expect, it, test, vi } from 'vitest'
import { createFlexibleRateLimiter, type GatewayOptions } from '../../src/index.ts'
import { startFixture, startGateway } from '../flow/harness.ts'
import { at, modernStart, type RawStream, RawSession } from '../flow/raw-client.ts'
import { startScriptedHttp } from '../flow/scripted-http.ts'
import { as, claimed } from './callers.ts'

async function start(options: Partial<GatewayOptions>) {
  const server = await startScriptedHttp({ name: 's', tools: ['a', 'b'] })
  const fix = await startFixture({ era: 'modern' })
  const clock = createFakeClock()
  const running = await startGateway({
    servers: { s: { url: server.url }, fix: { url: fix.url } },
    authenticate: claimed,
    now: clock.now,
    ...options,
  })
  await running.gateway.ready()
  return { ...running, clock, server }
}

const perCaller = { name: 'calls', per: 'principal', points: 2, durationSeconds: 60 } as const

async function echo(url: string, who = 'ada'): Promise<RawStream> {
  const stream = await modernStart(url, 'tools/call', { name: 'echo', arguments: { message: 'x' } }, as(who))
  await stream.ended
  return stream
}

describe('rate limits', () => {
  it('answer 429 with the time to wait, in headers and in the error, and count anew after it', async () => {
    const { at: path, clock } = await start({ rateLimits: [perCaller] })
    const first = await echo(path('fix'))
    expect(first.status).toBe(200)
    expect(first.headers.get('ratelimit-policy')).toBe('"calls";q=2;w=60')
    expect(first.headers.get('ratelimit')).toBe('"calls";r=1;t=60')
    clock.advance(20_500)
    await echo(path('fix'))
    const refused = await echo(path('fix'))
    expect(refused.status).toBe(429)
    expect(refused.headers.get('retry-after')).toBe('40')
    expect(refused.headers.get('ratelimit')).toBe('"calls";r=0;t=40')
    expect(at(refused.messages[0], 'error')).toEqual({
      code: -32600,
      message: 'too many requests: "calls" allows 2 in 60 s',
      data: { code: 'ERR_LIMIT_EXCEEDED', limit: 'calls', retryAfterMs: 39_500 },
    })
    expect((await echo(path('fix'), 'eve')).status).toBe(200)
    clock.advance(39_500)
    expect((await echo(path('fix'))).status).toBe(200)
  })

  it('count what a legacy client tells a server about its log', async () => {
    const { at: path, url, server } = await start({ rateLimits: [perCaller] })
    for (const [to, who] of [
      [path('s'), 'ada'],
      [url, 'eve'],
    ] as const) {
      const session = await RawSession.open(to, as(who))
      const codes: unknown[] = []
      for (let count = 0; count < 4; count++) {
        const answer = await session.request('logging/setLevel', { level: 'info' })
        codes.push(at(answer, 'error', 'data', 'code'))
      }
      expect(codes).toEqual([undefined, undefined, 'ERR_LIMIT_EXCEEDED', 'ERR_LIMIT_EXCEEDED'])
    }
    expect(server.messages('logging/setLevel').length).toBe(2)
  })

  it('are a JSON-RPC error for clients of the legacy era', async () => {
    const { url, server } = await start({ rateLimits: [{ ...perCaller, tools: 's/*' }] })
    const session = await RawSession.open(url, as('ada'))
    for (let count = 0; count < 2; count++) await session.call('s__a')
    const refused = await session.start('tools/call', { name: 's__a' })
    await refused.ended
    expect(refused.status).toBe(200)
    expect(refused.headers.get('ratelimit')).toBe('"calls";r=0;t=60')
    expect(at(refused.messages[0], 'error', 'data', 'retryAfterMs')).toBe(60_000)
    expect(server.messages('tools/call')).toHaveLength(2)
    // what is no call of such a tool is not counted
    expect(at(await session.request('tools/list'), 'error')).toBeUndefined()
  })

  it('count per tool, per tenant and for all requests, whatever the endpoint', async () => {
    const { url, at: path } = await start({
      rateLimits: [
        { name: 'tool', per: 'principal+tool', points: 1, durationSeconds: 60 },
        { name: 'tenant', per: 'tenant', points: 4, durationSeconds: 3_600 },
      ],
    })
    const joined = await RawSession.open(url, as('ada'))
    const single = await RawSession.open(path('s'), as('ada'))
    expect(at(await joined.call('s__a'), 'error')).toBeUndefined()
    expect(at(await single.call('a'), 'error', 'data', 'limit')).toBe('tool')
    const allowed = await single.start('tools/call', { name: 'b' })
    await allowed.ended
    expect(allowed.headers.get('ratelimit')).toBe('"tool";r=0;t=60, "tenant";r=2;t=3600')
    const eve = await RawSession.open(path('s'), as('eve'))
    expect(at(await eve.request('tools/list'), 'error')).toBeUndefined()
    expect(at(await joined.request('tools/list'), 'error')).toBeUndefined()
    expect(at(await eve.request('tools/list'), 'error', 'data', 'limit')).toBe('tenant')
    const other = await RawSession.open(path('s'), as('eve tenant:other'))
    expect(at(await other.request('tools/list'), 'error')).toBeUndefined()
    expect(at(await other.request('ping'), 'error')).toBeUndefined()
  })

  it('refuse when nobody can say how much is left', async () => {
    const dead: RateLimiter = {
      consume: () => Promise.reject(new StorageUnavailableError('the backend is dead')),
    }
    const broken: RateLimiter = {
      consume() {
        throw new TypeError('oops')
      },
    }
    for (const rateLimiter of [dead, broken]) {
      const { at: path } = await start({ rateLimits: [perCaller], rateLimiter })
      const answer = await echo(path('fix'))
      expect(answer.status).toBe(503)
      expect(at(answer.messages[0], 'error', 'data', 'code')).toBe('ERR_STORAGE_UNAVAILABLE')
    }
  })

  it('take a limiter that needs time', async () => {
    const rateLimiter = createFlexibleRateLimiter({ create: (settings) => new RateLimiterMemory(settings) })
    const { at: path } = await start({ rateLimits: [perCaller], rateLimiter })
    const statuses = []
    for (let count = 0; count < 3; count++) statuses.push((await echo(path('fix'))).status)
    expect(statuses).toEqual([200, 200, 429])
  })
})

describe('rate-limiter-flexible behind the port', () => {
  afterEach(() => void vi.useRealTimers())
  const clock = (): RateLimiterClock => {
    // it reads the time from Date, and forgets by timers
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] })
    return { now: Date.now, advance: (ms) => void vi.advanceTimersByTime(ms) }
  }
  const cases = rateLimiterContract({
    clock,
    open: () => ({
      limiter: createFlexibleRateLimiter({ create: (settings) => new RateLimiterMemory(settings) }),
    }),
    openDead: () =>
      createFlexibleRateLimiter({
        create: () => ({ consume: () => Promise.reject(new Error('ECONNREFUSED')) }),
      }),
  })
  test.each(cases)('$name', async ({ run }) => expect(run()).resolves.toBeUndefined())
})

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { UpstreamError } from '@sallyport/core'
import { describe, expect, it } from 'vitest'
import { CircuitBreaker } from '../../src/upstream/circuit-breaker.ts'

function start() {
  let at = 0
  const breaker = new CircuitBreaker({
    server: 's',
    failures: 3,
    firstMs: 1_000,
    longestMs: 3_000,
    now: () => at,
  })
  const fail = (call: object = {}, retryAfterMs?: number) =>
    breaker.failed(call, new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', 's', 'is down', { retryAfterMs }))
  const pass = (ms: number) => {
    at += ms
  }
  return { breaker, fail, pass }
}

describe('a circuit', () => {
  it('opens after failures in a row, and says for how long', () => {
    const { breaker, fail, pass } = start()
    fail()
    fail()
    breaker.succeeded()
    fail()
    fail()
    expect(breaker.admit({})).toBeUndefined()
    expect(fail()).toBe(true)
    pass(400)
    expect(breaker.admit({})).toMatchObject({
      code: 'ERR_UPSTREAM_UNAVAILABLE',
      retrySafe: true,
      retryAfterMs: 600,
      message: 'server "s": is left alone for a while, because it keeps failing: is down',
    })
  })

  it('counts one event once, however many calls it ends', () => {
    const { breaker } = start()
    const crash = new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', 's', 'ended (exit code 1)')
    for (let call = 0; call < 50; call++) breaker.failed({}, crash)
    expect(breaker.admit({})).toBeUndefined()
  })

  it('lets one call through when the time is over; others are refused until it has ended', () => {
    const { breaker, fail, pass } = start()
    for (let count = 0; count < 3; count++) fail()
    pass(1_000)
    const trial = {}
    expect(breaker.admit(trial)).toBeUndefined()
    expect(breaker.admit({})).toMatchObject({ retrySafe: true, retryAfterMs: 1_000 })
    breaker.succeeded()
    expect(breaker.admit({})).toBeUndefined()
    fail()
    fail()
    expect(breaker.admit({})).toBeUndefined()
  })

  it('stays open twice as long each time that call fails too, up to a limit', () => {
    const { breaker, fail, pass } = start()
    for (let count = 0; count < 3; count++) fail()
    for (const openMs of [1_000, 2_000, 3_000, 3_000]) {
      expect(breaker.refusal?.retryAfterMs).toBe(openMs)
      pass(openMs)
      const trial = {}
      expect(breaker.admit(trial)).toBeUndefined()
      expect(fail(trial)).toBe(true)
    }
  })

  it('lets the next one through if the first says nothing', () => {
    const { breaker, fail, pass } = start()
    for (let count = 0; count < 3; count++) fail()
    pass(1_000)
    const trial = {}
    breaker.admit(trial)
    breaker.undecided({})
    expect(breaker.admit({})).toBeDefined()
    breaker.undecided(trial)
    expect(breaker.admit({})).toBeUndefined()
  })

  it('does not take the failure of an older call for that of the one let through', () => {
    const { breaker, fail, pass } = start()
    for (let count = 0; count < 3; count++) fail()
    pass(1_000)
    const trial = {}
    breaker.admit(trial)
    expect(fail()).toBe(false)
    breaker.ended(trial, undefined)
    expect(breaker.admit({})).toBeUndefined()
  })

  it('tells whoever listens what state it is in', () => {
    const told: unknown[] = []
    const listen = (event: unknown) => void told.push(event)
    subscribe('sallyport:upstream:breaker', listen)
    const { breaker, fail, pass } = start()
    expect(breaker.state).toBe('closed')
    for (let count = 0; count < 3; count++) fail()
    expect(breaker.state).toBe('open')
    pass(1_000)
    const trial = {}
    breaker.admit(trial)
    expect(breaker.state).toBe('half-open')
    breaker.ended(trial, undefined)
    expect(breaker.state).toBe('closed')
    unsubscribe('sallyport:upstream:breaker', listen)
    expect(told).toEqual([
      { server: 's', state: 'open', code: 'ERR_UPSTREAM_UNAVAILABLE' },
      { server: 's', state: 'half-open', code: undefined },
      { server: 's', state: 'closed', code: undefined },
    ])
  })

  it('stays open as long as the server asked for, within reason', () => {
    const { breaker, fail } = start()
    for (let count = 0; count < 3; count++) fail({}, 20_000)
    expect(breaker.refusal?.retryAfterMs).toBe(20_000)
    const other = start()
    for (let count = 0; count < 3; count++) other.fail({}, 86_400_000)
    expect(other.breaker.refusal?.retryAfterMs).toBe(60_000)
  })
})

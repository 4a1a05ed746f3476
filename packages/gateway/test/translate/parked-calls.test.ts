import { describe, expect, it } from 'vitest'
import { ParkedCalls } from '../../src/translate/modern-on-legacy/parked-calls.ts'

describe('the state of a call that waits', () => {
  it('is opened before the request is looked at, which can be large', () => {
    const parked = new ParkedCalls({ now: () => 0, maxCalls: 10, maxPerOwner: 10, keepMs: 1_000 })
    const call = {
      owner: 'ann',
      tenant: 't',
      server: 's',
      bytesKept: 1,
      round: 1,
      expire() {},
    }
    const place = parked.park(call, { caller: 'ann', digest: 'the request' })
    if (!('state' in place)) throw new Error('there is room')
    const unread = (caller: string) => ({
      caller,
      get digest(): string {
        throw new Error('the request was looked at')
      },
    })
    expect(parked.look('forged', unread('ann'))).toEqual({ is: 'invalid' })
    expect(parked.look(place.state, unread('eve'))).toEqual({ is: 'invalid' })
    expect(parked.look(place.state, { caller: 'ann', digest: 'another' })).toEqual({ is: 'invalid' })
    expect(parked.look(place.state, { caller: 'ann', digest: 'the request' })).toEqual({ is: 'parked', call })
    parked.leave(call)
    expect(parked.look(place.state, unread('ann'))).toEqual({ is: 'used' })
  })
})

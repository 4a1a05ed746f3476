import { StorageUnavailableError } from '@sallyport/core'
import { expect, test } from 'vitest'
import { createFakeClock, delayed, failing } from '../src/index.ts'

class Counter {
  #count = 0
  readonly label = 'counter'
  async add(by: number): Promise<number> {
    this.#count += by
    return this.#count
  }
  async read(): Promise<number> {
    return this.#count
  }
}

test('failing: all methods, some, or from now on', async () => {
  const counter = new Counter()
  await expect(failing(counter).add(1)).rejects.toThrow(StorageUnavailableError)
  expect(() => failing(counter, { synchronously: true }).add(1)).toThrow(StorageUnavailableError)
  await expect(failing(counter, { error: () => new Error('mine') }).add(1)).rejects.toThrow('mine')
  let dead = false
  const port = failing(counter, { only: ['add'], when: () => dead })
  expect(await port.add(2)).toBe(2)
  dead = true
  await expect(port.add(2)).rejects.toThrow(StorageUnavailableError)
  expect(await port.read()).toBe(2)
  expect(port.label).toBe('counter')
})

test('failing: a frozen object, and what has no methods', async () => {
  const port = failing(Object.freeze({ go: async () => 1, rest: 7 }))
  await expect(port.go()).rejects.toThrow(StorageUnavailableError)
  expect(port.rest).toBe(7)
  expect('rest' in port).toBe(true)
})

test('delayed: in the time of a test', async () => {
  const clock = createFakeClock(1_000)
  const counter = new Counter()
  const port = delayed(counter, 50, { sleep: clock.sleep })
  const adding = port.add(1)
  clock.advance(49)
  expect(await counter.read()).toBe(0)
  clock.advance(1)
  expect(await adding).toBe(1)
  expect(clock.now()).toBe(1_050)
  expect(await delayed(counter, 1_000_000, { only: ['add'] }).read()).toBe(1)
  expect(await delayed(counter, 1).read()).toBe(1)
})

test('a clock wakes sleepers in order', async () => {
  const clock = createFakeClock()
  const woken: number[] = []
  const sleeping = [30, 10, 20, 0].map((ms) => clock.sleep(ms).then(() => woken.push(ms)))
  clock.advance(30)
  await Promise.all(sleeping)
  expect(woken).toEqual([0, 10, 20, 30])
})

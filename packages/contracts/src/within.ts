import { setTimeout as sleep } from 'node:timers/promises'

const limitMs = 10_000

/** Waits for a condition, but not for ever. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + limitMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${limitMs} ms in vain: ${what}`)
    await sleep(5)
  }
}

/** The outcome of a promise, if it comes in time. */
export async function inTime<T>(what: string, promise: Promise<T>): Promise<T> {
  const late = new AbortController()
  const timeout = sleep(limitMs, undefined, { signal: late.signal }).then(() => {
    throw new Error(`waited ${limitMs} ms in vain: ${what}`)
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    late.abort()
    await timeout.catch(() => {})
  }
}

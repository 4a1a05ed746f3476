import { type Principal, principalKey } from '@sallyport/core'

/** Counts the event streams that each caller holds open. */
export class StreamQuota {
  readonly #limit: number
  readonly #open = new Map<string, number>()

  constructor(limit: number) {
    this.#limit = limit
  }

  /** The function that gives the place back, or `undefined` if there is none left. */
  take(principal: Principal): (() => void) | undefined {
    const key = principalKey(principal)
    const open = this.#open.get(key) ?? 0
    if (open >= this.#limit) return undefined
    this.#open.set(key, open + 1)
    let taken = true
    return () => {
      if (!taken) return
      taken = false
      const left = (this.#open.get(key) ?? 1) - 1
      if (left > 0) this.#open.set(key, left)
      else this.#open.delete(key)
    }
  }
}

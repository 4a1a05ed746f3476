/** Up to so many entries are found by looking at each. */
const FEW = 64

/**
 * A map for what comes and goes with every call.
 *
 * V8's own maps make a new table every few deletions and leave a pointer to it in the old one. Once one such table has grown old, it
 * keeps all that follow alive until the next full collection, and with them every call that stood in one of them: seen here as
 * scavenges of 13 ms instead of 1 ms, in about every second run. A few entries need no table at all; only what is beyond them gets one.
 *
 * Keys are compared by `===`. What is iterated over is the state at the beginning; the order means nothing.
 */
export class ShortLivedMap<
  Key extends object | string | number,
  Value extends object | string | number | true,
> {
  readonly #keys: Key[] = []
  readonly #values: Value[] = []
  #more: Map<Key, Value> | undefined

  get size(): number {
    return this.#keys.length + (this.#more?.size ?? 0)
  }

  has(key: Key): boolean {
    return this.#keys.includes(key) || this.#more?.has(key) === true
  }

  get(key: Key): Value | undefined {
    const at = this.#keys.indexOf(key)
    return at < 0 ? this.#more?.get(key) : this.#values[at]
  }

  set(key: Key, value: Value): void {
    const at = this.#keys.indexOf(key)
    if (at >= 0) this.#values[at] = value
    else if (this.#keys.length < FEW && this.#more?.has(key) !== true) {
      this.#keys.push(key)
      this.#values.push(value)
    } else {
      this.#more ??= new Map()
      this.#more.set(key, value)
    }
  }

  /** True if the key was there. */
  delete(key: Key): boolean {
    const at = this.#keys.indexOf(key)
    if (at < 0) return this.#more?.delete(key) === true
    const lastKey = this.#keys.pop()
    const lastValue = this.#values.pop()
    // the last one takes the place, unless it is the one
    if (at < this.#keys.length && lastKey !== undefined && lastValue !== undefined) {
      this.#keys[at] = lastKey
      this.#values[at] = lastValue
    }
    return true
  }

  clear(): void {
    this.#keys.length = 0
    this.#values.length = 0
    this.#more = undefined
  }

  keys(): Key[] {
    return [...this.#keys, ...(this.#more?.keys() ?? [])]
  }

  values(): Value[] {
    return [...this.#values, ...(this.#more?.values() ?? [])]
  }

  entries(): [Key, Value][] {
    const values = this.values()
    return this.keys().flatMap((key, index): [Key, Value][] => {
      const value = values[index]
      return value === undefined ? [] : [[key, value]]
    })
  }
}

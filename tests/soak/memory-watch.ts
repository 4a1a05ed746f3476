import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')

export function collectGarbage(): void {
  if (typeof collect === 'function') collect()
}

/** Live heap after a full collection, in megabytes. */
function liveHeapMb(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed / 1_000_000
}

/** Compares the live heap with what it was when the test had warmed up. */
export class MemoryWatch {
  #base: number | undefined

  /** To be called again and again; the first call sets the mark. */
  check(what: string, allowedGrowthMb: number): number {
    const now = liveHeapMb()
    this.#base ??= now
    const growth = now - this.#base
    if (growth > allowedGrowthMb) {
      throw new Error(`${what}: the live heap grew by ${growth.toFixed(1)} MB (allowed: ${allowedGrowthMb})`)
    }
    return growth
  }
}

/**
 * Values of servers that are nested deeper than this are not written out again: `JSON.parse` reads any depth, `JSON.stringify`
 * ends at the size of the stack. What is only passed on has no such limit.
 */
export const MAX_WRITTEN_DEPTH = 1_000

/** @param value of `JSON.parse` */
export function isTooDeep(value: unknown): boolean {
  let level: readonly unknown[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_WRITTEN_DEPTH) return true
    level = level.flatMap((it) => (typeof it === 'object' && it !== null ? Object.values(it) : []))
  }
  return false
}

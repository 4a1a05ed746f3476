/** One replacement: the bytes in `[start, end)` become `text`. */
export type Edit = readonly [start: number, end: number, text: string | Uint8Array]

/** Applies edits that do not overlap, in any order; the source is left as it is. */
export function splice(source: Buffer, ...edits: readonly Edit[]): Buffer {
  const ordered = edits.length > 1 ? [...edits].sort((left, right) => left[0] - right[0]) : edits
  const parts: Uint8Array[] = []
  let position = 0
  for (const [start, end, text] of ordered) {
    parts.push(source.subarray(position, start), typeof text === 'string' ? Buffer.from(text) : text)
    position = end
  }
  parts.push(source.subarray(position))
  return Buffer.concat(parts)
}

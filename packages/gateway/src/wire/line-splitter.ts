const LINE_FEED = 10

/**
 * Cuts the standard output of a server into lines (MCP stdio transport: one message per line).
 * Throws a RangeError when a line grows past `maxLineBytes`.
 */
export class LineSplitter {
  readonly #onLine: (line: Buffer) => void
  readonly #maxLineBytes: number
  #parts: Buffer[] = []
  #bytes = 0

  constructor(onLine: (line: Buffer) => void, maxLineBytes: number) {
    this.#onLine = onLine
    this.#maxLineBytes = maxLineBytes
  }

  push(chunk: Buffer): void {
    let position = 0
    for (;;) {
      const feed = chunk.indexOf(LINE_FEED, position)
      if (feed < 0) break
      const last = chunk.subarray(position, feed)
      position = feed + 1
      if (this.#parts.length === 0) this.#emit(last)
      else {
        const line = Buffer.concat([...this.#parts, last])
        this.#parts = []
        this.#bytes = 0
        this.#emit(line)
      }
    }
    if (position < chunk.length) {
      this.#parts.push(chunk.subarray(position))
      this.#bytes += chunk.length - position
      this.#check(this.#bytes)
    }
  }

  #emit(line: Buffer): void {
    this.#check(line.length)
    const trimmed = line.at(-1) === 13 ? line.subarray(0, -1) : line
    if (trimmed.length > 0) this.#onLine(trimmed)
  }

  #check(bytes: number): void {
    if (bytes > this.#maxLineBytes) throw new RangeError(`a line is longer than ${this.#maxLineBytes} bytes`)
  }
}

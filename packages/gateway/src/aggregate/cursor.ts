import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** Where an aggregated list goes on: in the list of one server, at that server's own cursor. */
export interface Position {
  readonly server: string
  readonly cursor: string
}

const TAG_BYTES = 16

/**
 * Cursors of aggregated lists. A cursor is bound to the caller and the list it was made for: nobody can read on
 * where somebody else stopped, or make a server see a cursor that it has not issued.
 */
export class CursorSeal {
  readonly #key: Buffer

  constructor(key: Buffer = randomBytes(32)) {
    this.#key = key
  }

  seal(position: Position, boundTo: string): string {
    const body = Buffer.from(JSON.stringify([position.server, position.cursor]))
    return Buffer.concat([this.#tag(body, boundTo), body]).toString('base64url')
  }

  /** `undefined` if it is not one of ours, or not for this caller and list. */
  open(cursor: string, boundTo: string): Position | undefined {
    const bytes = Buffer.from(cursor, 'base64url')
    const body = bytes.subarray(TAG_BYTES)
    // Buffer skips what it does not know, so only what encodes back to the same text is what was issued
    if (body.length === 0 || bytes.toString('base64url') !== cursor) return undefined
    if (!timingSafeEqual(bytes.subarray(0, TAG_BYTES), this.#tag(body, boundTo))) return undefined
    const parts: unknown = JSON.parse(body.toString())
    if (!Array.isArray(parts)) return undefined
    const [server, upstream]: unknown[] = parts
    return typeof server === 'string' && typeof upstream === 'string'
      ? { server, cursor: upstream }
      : undefined
  }

  #tag(body: Buffer, boundTo: string): Buffer {
    return createHmac('sha256', this.#key)
      .update(`${Buffer.byteLength(boundTo)}:${boundTo}`)
      .update(body)
      .digest()
      .subarray(0, TAG_BYTES)
  }
}

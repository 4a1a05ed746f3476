import { ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server'

/**
 * One page of a list. The first cursor a client gets is deliberately not a number, and never empty, so that a peer
 * which interprets cursors is found out.
 */
export function pageOf<Item>(
  items: readonly Item[],
  cursor: string | undefined,
  pageSize: number,
): { page: Item[]; nextCursor?: string } {
  const start = cursor === undefined ? 0 : offsetOf(cursor, items.length)
  const end = start + pageSize
  return { page: items.slice(start, end), ...(end < items.length && { nextCursor: cursorAt(end) }) }
}

function cursorAt(offset: number): string {
  return Buffer.from(`offset:${offset}`).toString('base64url')
}

function offsetOf(cursor: string, length: number): number {
  const match = /^offset:(\d+)$/.exec(Buffer.from(cursor, 'base64url').toString())
  const offset = Number(match?.[1] ?? Number.NaN)
  if (!(offset > 0 && offset < length)) {
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Invalid cursor: ${cursor}`)
  }
  return offset
}

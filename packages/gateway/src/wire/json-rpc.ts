/** An answer of the gateway's own. `id` is JSON text, so that the caller gets it back as it was written. */
export function resultMessage(id: string | Uint8Array, resultJson: string): Buffer {
  return Buffer.from(`{"jsonrpc":"2.0","id":${idText(id)},"result":${resultJson}}`)
}

/** An error of the gateway's own; without an id where none could be read (2025-11-25 schema: never `null`). */
export function errorMessage(
  id: string | Uint8Array | undefined,
  error: { readonly code: number; readonly message: string; readonly data?: unknown },
): Buffer {
  const head = id === undefined ? '' : `"id":${idText(id)},`
  return Buffer.from(`{"jsonrpc":"2.0",${head}"error":${JSON.stringify(error)}}`)
}

/**
 * The same message without line breaks. In JSON they can only stand between tokens, where a blank means the same; where a line
 * is a message, they would make two of one.
 */
export function onOneLine(message: Buffer): Buffer {
  if (!message.includes(10) && !message.includes(13)) return message
  return Buffer.from(message.map((byte) => (byte === 10 || byte === 13 ? 32 : byte)))
}

export function requestMessage(id: string | number, method: string, params: unknown): Buffer {
  return Buffer.from(JSON.stringify({ jsonrpc: '2.0', id, method, params }))
}

export function notificationMessage(method: string, params?: unknown): Buffer {
  return Buffer.from(
    JSON.stringify(params === undefined ? { jsonrpc: '2.0', method } : { jsonrpc: '2.0', method, params }),
  )
}

function idText(id: string | Uint8Array): string {
  return typeof id === 'string' ? id : Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString()
}

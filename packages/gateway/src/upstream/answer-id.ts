import { parseJson } from '../wire/client-message.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import { splice } from '../wire/splice.ts'

/**
 * The response with the caller's id. Servers answer what they could not read with `id: null` or without one: over HTTP the
 * request is known all the same. `undefined` if it answers some other request.
 */
export function withCallersId(response: Buffer, scan: MessageScan, idText: Uint8Array): Buffer | undefined {
  const { idStart, idEnd } = scan
  if (idStart < 0) {
    const inside = response.indexOf('{') + 1
    return splice(response, [inside, inside, Buffer.concat([Buffer.from('"id":'), idText, Buffer.from(',')])])
  }
  const id = response.subarray(idStart, idEnd)
  if (id.equals(idText)) return response
  const value = parseJson(id)
  if (value !== null && value !== parseJson(Buffer.from(idText))) return undefined
  return splice(response, [idStart, idEnd, idText])
}

/**
 * The HTTP status under which a client gets a server's response. Those that MCP gives a meaning say the same to both; all
 * others are about the gateway's own dealings with the server: its credentials, its session, its load.
 */
export function statusForClient(status: number): number {
  return status === 400 || status === 404 ? status : 200
}

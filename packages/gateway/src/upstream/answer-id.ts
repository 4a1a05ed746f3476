import { parseJson } from '../wire/client-message.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import { splice } from '../wire/splice.ts'

/**
 * The response with the caller's id. Servers answer what they could not read with `id: null` or without one: over HTTP the
 * request is known all the same. `undefined` if it answers some other request.
 */
export function withCallersId(response: Buffer, scan: MessageScan, idText: Uint8Array): Buffer | undefined {
  const { idStart, idEnd } = scan
  if (idStart < 0)
    return splice(response, [1, 1, Buffer.concat([Buffer.from('"id":'), idText, Buffer.from(',')])])
  const id = response.subarray(idStart, idEnd)
  if (id.equals(idText)) return response
  const value = parseJson(id)
  if (value !== null && value !== parseJson(Buffer.from(idText))) return undefined
  return splice(response, [idStart, idEnd, idText])
}

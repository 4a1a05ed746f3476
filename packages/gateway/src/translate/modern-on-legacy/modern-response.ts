import type { Call } from '../../call/call.ts'
import { listOfMethod } from '../../aggregate/list-kind.ts'
import { isRecord, parseJson } from '../../wire/client-message.ts'
import { errorMessage } from '../../wire/json-rpc.ts'
import { META_SERVER_INFO, RpcCode } from '../../wire/protocol.ts'
import type { MessageScan } from '../../wire/scan-message.ts'
import { type Edit, splice } from '../../wire/splice.ts'
import { scanned, type ScannedMessage } from './legacy-request.ts'

type Members = Readonly<Record<string, unknown>>

const OPEN_BRACE = 123
const CLOSE_BRACE = 125
const CACHING = { ttlMs: '"ttlMs":0', cacheScope: '"cacheScope":"private"' }

/**
 * A server's result with what the modern era requires of each: `resultType`, caching hints where there have to be some (nothing
 * is known, so: none, and only for this caller; 2026-07-28 server/utilities/caching), and who answered. A result may be large, so it
 * is not parsed: the members are put in.
 */
export function modernResult(
  response: Buffer,
  scan: MessageScan,
  { method, idText }: Call,
  serverInfo: Members | undefined,
): Buffer {
  const edits: Edit[] = [[scan.idStart, scan.idEnd, idText]]
  if (response[scan.resultStart] !== OPEN_BRACE) return splice(response, ...edits)
  const added: string[] = []
  if (scan.resultTypeStart >= 0) edits.push([scan.resultTypeStart, scan.resultTypeEnd, '"complete"'])
  else added.push('"resultType":"complete"')
  if (method === 'resources/read' || listOfMethod(method) !== undefined) {
    if (!scan.hasTtl) added.push(CACHING.ttlMs)
    if (!scan.hasCacheScope) added.push(CACHING.cacheScope)
  }
  if (serverInfo !== undefined && !scan.hasServerInfo) {
    const info = `${JSON.stringify(META_SERVER_INFO)}:${JSON.stringify(serverInfo)}`
    if (scan.resultMetaStart < 0) added.push(`"_meta":{${info}}`)
    else if (response[scan.resultMetaStart] === OPEN_BRACE)
      edits.push(insertion(response, scan.resultMetaStart, info))
  }
  if (added.length > 0) edits.push(insertion(response, scan.resultStart, added.join(',')))
  return splice(response, ...edits)
}

/** Puts members at the beginning of the object that opens at `start`. */
function insertion(text: Buffer, start: number, members: string): Edit {
  let next = start + 1
  while (text[next] === 32 || text[next] === 10 || text[next] === 13 || text[next] === 9) next++
  return [start + 1, start + 1, text[next] === CLOSE_BRACE ? members : `${members},`]
}

export interface RpcErrorObject {
  readonly code: number
  readonly message: string
  readonly data?: unknown
}

export function readError(response: Buffer, scan: MessageScan): RpcErrorObject {
  const error = parseJson(response.subarray(scan.errorStart, scan.errorEnd))
  if (!isRecord(error)) return { code: RpcCode.internalError, message: 'the server answered with an error' }
  const { code, message, data } = error
  return {
    code: typeof code === 'number' ? code : RpcCode.internalError,
    message: String(message),
    ...(data !== undefined && { data }),
  }
}

/**
 * An error of the legacy era with a code of the modern one (2026-07-28 basic, "Error Codes"): a resource that is not there is
 * invalid params, and codes that this revision keeps for itself mean nothing when an older server uses them.
 */
export function modernError(error: RpcErrorObject, call: Call): RpcErrorObject {
  if (error.code === RpcCode.resourceNotFound && call.method === 'resources/read') {
    const uri = parseJson(call.bytes.subarray(call.scan.uriStart, call.scan.uriEnd))
    const data = isRecord(error.data) ? error.data : {}
    return { ...error, code: RpcCode.invalidParams, data: { uri, ...data } }
  }
  const isReserved = error.code <= -32020 && error.code >= -32099
  return isReserved ? { ...error, code: RpcCode.internalError } : error
}

/** A response of the gateway's own that is an error. */
export function errorResponse(idText: Uint8Array, error: RpcErrorObject): ScannedMessage {
  return scanned(errorMessage(idText, error))
}

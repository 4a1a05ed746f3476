import { isAscii, isUtf8 } from 'node:buffer'
import { type MessageScan, scanMessage } from './scan-message.ts'
import { nameVariant } from './name-variants.ts'
import { RpcCode } from './protocol.ts'

export type MessageKind = 'request' | 'notification' | 'response'

export type RpcId = string | number

/** A JSON-RPC message: the bytes as received, its parsed value, and where its parts stand. */
export interface RpcMessage {
  readonly kind: MessageKind
  readonly bytes: Buffer
  readonly scan: MessageScan
  /** The `id`; absent in notifications. */
  readonly id: RpcId | undefined
  /** Empty in responses. */
  readonly method: string
  readonly params: Readonly<Record<string, unknown>>
}

/** Why some bytes are not a message, in JSON-RPC terms. */
export interface MessageFault {
  readonly code: number
  readonly message: string
  /** The id to answer to, as its sender spelled it; absent where none could be read. */
  readonly idText: Buffer | undefined
}

export function isFault(value: RpcMessage | MessageFault): value is MessageFault {
  return 'code' in value
}

const noParams: Readonly<Record<string, unknown>> = Object.freeze({})

/**
 * Reads one message. Stricter than what is only passed on needs, where two readers could disagree about the same bytes:
 * invalid UTF-8 and duplicate member names are refused (RFC 8259 section 4 leaves their meaning open).
 */
export function readMessage(bytes: Buffer, maxDepth: number): RpcMessage | MessageFault {
  const bytewise = bytes.toString('latin1')
  const isPlain = isAscii(bytes)
  if (!isPlain && !isUtf8(bytes))
    return { code: RpcCode.parseError, message: 'the body is not valid UTF-8', idText: undefined }
  let value: unknown
  try {
    value = JSON.parse(isPlain ? bytewise : bytes.toString())
  } catch {
    return { code: RpcCode.parseError, message: 'the body is not valid JSON', idText: undefined }
  }
  const scan = isRecord(value) ? scanMessage(bytewise) : undefined
  if (!isRecord(value) || scan === undefined) {
    const message = 'a JSON-RPC message is a JSON object'
    return { code: RpcCode.invalidRequest, message, idText: undefined }
  }
  const id = readId(value)
  const refuse = (message: string): MessageFault => ({
    code: RpcCode.invalidRequest,
    message,
    idText: id === undefined ? undefined : bytes.subarray(scan.idStart, scan.idEnd),
  })
  if (scan.duplicate !== undefined) return refuse(`the member ${JSON.stringify(scan.duplicate)} occurs twice`)
  const variant = nameVariant(value)
  if (variant !== undefined)
    return refuse(`the member ${JSON.stringify(variant)} differs by case only from one that MCP defines`)
  if (scan.depth > maxDepth) return refuse(`the message is nested deeper than ${maxDepth} levels`)
  if (value['jsonrpc'] !== '2.0') return refuse('the member "jsonrpc" must be "2.0"')
  if (scan.idStart >= 0 && id === undefined) return refuse('the member "id" must be a string or a number')
  const { method, params } = value
  if (method === undefined) {
    const answers = (scan.resultStart >= 0 ? 1 : 0) + (scan.errorStart >= 0 ? 1 : 0)
    if (answers !== 1) return refuse('a message has a "method", or exactly one of "result" and "error"')
    if (id === undefined) return refuse('a response must have an "id"')
    return { kind: 'response', bytes, scan, id, method: '', params: noParams }
  }
  if (typeof method !== 'string') return refuse('the member "method" must be a string')
  if (params !== undefined && !isRecord(params)) return refuse('the member "params" must be an object')
  const kind = id === undefined ? 'notification' : 'request'
  return { kind, bytes, scan, id, method, params: params ?? noParams }
}

/** A message as it stands in the bytes: `id` as its sender spelled it. */
export function idBytes(message: RpcMessage): Buffer {
  return message.bytes.subarray(message.scan.idStart, message.scan.idEnd)
}

/**
 * What a request is remembered under. Two spellings of one number are one id (`100`, `1e2`); numbers that JavaScript would
 * take for one another are told apart by their text.
 *
 * @param text the id as it stands in the message
 */
export function idKey(id: RpcId, text: Uint8Array): RpcId {
  if (typeof id === 'string' || Number.isSafeInteger(id)) return id
  return `\0${Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString('latin1')}`
}

/** The same for the request that a cancellation is about; `undefined` if it names none. */
export function cancelledKey({ bytes, scan, params }: RpcMessage): RpcId | undefined {
  const { requestId } = params
  if (typeof requestId !== 'string' && typeof requestId !== 'number') return undefined
  return idKey(requestId, bytes.subarray(scan.requestIdStart, scan.requestIdEnd))
}

function readId(value: Readonly<Record<string, unknown>>): RpcId | undefined {
  const id = value['id']
  return typeof id === 'string' || typeof id === 'number' ? id : undefined
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `undefined` if the bytes are not JSON. */
export function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
}

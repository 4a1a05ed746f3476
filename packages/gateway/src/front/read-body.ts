import type { ProtocolEra } from '@sallyport/core'
import { isFault, isRecord, type MessageFault, readMessage, type RpcMessage } from '../wire/client-message.ts'
import { LATEST_LEGACY, META_VERSION, RpcCode } from '../wire/protocol.ts'
import { scanArray } from '../wire/scan-message.ts'
import { headerOf, type HttpExchange } from './http-exchange.ts'

export type ReadBody =
  | { readonly kind: 'message'; readonly message: RpcMessage }
  | { readonly kind: 'batch'; readonly messages: readonly (RpcMessage | MessageFault)[] }
  | ({ readonly kind: 'fault' } & MessageFault)

/** Messages in one batch. */
const MAX_BATCH = 100

/** Reads the body of a POST: one message or, in 2025-03-26, a batch. */
export function readBody(body: Buffer, maxDepth: number): ReadBody {
  const first = body.length === 0 ? 0 : firstByte(body)
  if (first !== 91) {
    const message = readMessage(body, maxDepth)
    return isFault(message) ? { kind: 'fault', ...message } : { kind: 'message', message }
  }
  const whole = readMessage(
    Buffer.concat([Buffer.from('{"jsonrpc":"2.0","method":"","params":{"batch":'), body, Buffer.from('}}')]),
    maxDepth,
  )
  if (isFault(whole) && whole.code === RpcCode.parseError) return { kind: 'fault', ...whole }
  const elements = scanArray(body.toString('latin1'))
  if (elements === undefined || elements.length === 0 || elements.length > MAX_BATCH) {
    const message = `a batch holds 1 to ${MAX_BATCH} messages`
    return { kind: 'fault', code: RpcCode.invalidRequest, message, idText: undefined }
  }
  return {
    kind: 'batch',
    messages: elements.map(([start, end]) => readMessage(body.subarray(start, end), maxDepth)),
  }
}

/**
 * Which rules a message falls under: those of the modern era if it says so in its `_meta` or its version header
 * (2026-07-28 basic/versioning).
 */
export function eraOf(exchange: HttpExchange, message: RpcMessage): ProtocolEra {
  const meta = message.params['_meta']
  if (isRecord(meta) && META_VERSION in meta) return 'modern'
  const version = headerOf(exchange, 'mcp-protocol-version')
  return version !== undefined && /^\d{4}-\d{2}-\d{2}$/.test(version) && version > LATEST_LEGACY
    ? 'modern'
    : 'legacy'
}

function firstByte(body: Buffer): number {
  for (const byte of body) if (byte !== 32 && byte !== 10 && byte !== 13 && byte !== 9) return byte
  return 0
}

import { isRecord, type RpcMessage } from '../wire/client-message.ts'
import { decodeHeaderValue } from '../wire/header-value.ts'
import { PARAM_PREFIX } from '../wire/param-headers.ts'
import { META_CAPABILITIES, META_VERSION, RpcCode } from '../wire/protocol.ts'
import { headerOf, type HttpExchange } from './http-exchange.ts'

export interface EnvelopeFault {
  readonly code: number
  readonly message: string
}

/** Methods whose `params` name something that `Mcp-Name` has to repeat. */
const namedBy: Readonly<Record<string, 'name' | 'uri'>> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
}

/** The required fields of a modern request (2026-07-28 basic, "_meta"). */
export function checkEnvelope(message: RpcMessage): EnvelopeFault | undefined {
  const meta = message.params['_meta']
  const missing = (key: string) => ({
    code: RpcCode.invalidParams,
    message: `params._meta["${key}"] is required in every request of this protocol version`,
  })
  if (!isRecord(meta) || typeof meta[META_VERSION] !== 'string') return missing(META_VERSION)
  return isRecord(meta[META_CAPABILITIES]) ? undefined : missing(META_CAPABILITIES)
}

/**
 * Headers that repeat parts of the body must agree with it, or two readers on the way would see two requests
 * (2026-07-28 streamable-http, "Server Validation").
 */
export function checkHeaders(exchange: HttpExchange, message: RpcMessage): EnvelopeFault | undefined {
  const meta = message.params['_meta']
  const version = isRecord(meta) ? meta[META_VERSION] : undefined
  const claimed = headerOf(exchange, 'mcp-protocol-version')
  if (claimed === undefined) return mismatch('the MCP-Protocol-Version header is missing')
  if (version !== undefined && claimed !== version) {
    return mismatch('the MCP-Protocol-Version header does not match params._meta')
  }
  const method = headerOf(exchange, 'mcp-method')
  if (method === undefined) return mismatch('the Mcp-Method header is missing')
  if (method !== message.method) return mismatch('the Mcp-Method header does not match the method')
  const member = namedBy[message.method]
  const header = headerOf(exchange, 'mcp-name')
  if (member === undefined) return undefined
  const named = message.params[member]
  if (named === undefined && header === undefined) return undefined
  if (header === undefined) return mismatch('the Mcp-Name header is missing')
  return decodeHeaderValue(header) === named
    ? undefined
    : mismatch(`the Mcp-Name header does not match params.${member}`)
}

/** Headers of a modern request that its server gets: name and parameters; `Mcp-Method` and the version are set anew. */
export function forwardedHeaders(exchange: HttpExchange): string[] {
  const headers: string[] = []
  for (const name in exchange.headers) {
    if (name !== 'mcp-name' && !name.startsWith(PARAM_PREFIX)) continue
    const value = headerOf(exchange, name)
    if (value !== undefined) headers.push(name, value)
  }
  return headers
}

function mismatch(message: string): EnvelopeFault {
  return { code: RpcCode.headerMismatch, message: `Header mismatch: ${message}` }
}

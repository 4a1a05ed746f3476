import { isRecord, padding } from '../load/answer-check.ts'
import { listedServerName } from './upstream-kinds.ts'

export type Era = 'legacy' | 'modern' | 'both'

export interface EchoProtocolOptions {
  /** Which requests it knows: those of 2025-11-25, of 2026-07-28, or both. */
  era: Era
  /** Filler appended to every echo, to make answers of a given size. */
  paddingBytes: number
  /** The `echo` tool and this many minus one others that only make the list long. */
  toolCount: number
  /**
   * Tools are named as a gateway names those of so many servers with an equal share of them each: such a list has the same
   * tools in as many bytes. 0 for plain names.
   */
  namedAfterServers?: number
}

export interface EchoAnswer {
  /** One JSON-RPC message as text. */
  text: string
  /** What an HTTP server says with it. */
  status: number
}

const legacyRevisions = ['2025-11-25', '2025-06-18', '2025-03-26']
const modernRevision = '2026-07-28'
const serverInfo = { name: 'echo', version: '1.0.0' }
const modernResult = { resultType: 'complete', _meta: { 'io.modelcontextprotocol/serverInfo': serverInfo } }
const cacheable = { ...modernResult, ttlMs: 60_000, cacheScope: 'public' }

/**
 * The MCP server behind every path, by hand: an SDK server costs ten times what a gateway should, and would hide it.
 * Returns the function that answers one parsed request; undefined for a notification.
 */
export function createEchoProtocol({
  era,
  paddingBytes,
  toolCount,
  namedAfterServers = 0,
}: EchoProtocolOptions): (message: unknown) => EchoAnswer | undefined {
  const tools = Array.from({ length: toolCount }, (_, index) => ({
    name: nameOf(index),
    description: `Returns the message it is given. ${'It has a description of ordinary length. '.repeat(3)}`,
    inputSchema: {
      type: 'object',
      properties: { message: { type: 'string', description: 'What to return' } },
      required: ['message'],
    },
  }))
  // The filler needs no escaping, so an echo is put together without serialising it again.
  const filler = padding(paddingBytes).toString('latin1')

  return (message) => {
    if (!isRecord(message) || typeof message.method !== 'string')
      return failure(null, -32600, 'Invalid Request', 400)
    if (typeof message.id !== 'number' && typeof message.id !== 'string') return undefined
    const id = JSON.stringify(message.id)
    const params = isRecord(message.params) ? message.params : {}
    const meta = isRecord(params._meta) ? params._meta : {}
    const revision = meta['io.modelcontextprotocol/protocolVersion']
    return revision === undefined
      ? answerLegacy(id, message.method, params)
      : answerModern(id, message.method, params, revision)
  }

  function nameOf(index: number): string {
    if (namedAfterServers === 0) return plainName(index)
    const toolsEach = toolCount / namedAfterServers
    return `${listedServerName(Math.floor(index / toolsEach))}__${plainName(index % toolsEach)}`
  }

  function answerLegacy(id: string, method: string, params: Record<string, unknown>): EchoAnswer {
    if (era === 'modern') return unsupportedVersion(id, params.protocolVersion)
    switch (method) {
      case 'initialize': {
        const protocolVersion =
          legacyRevisions.find((revision) => revision === params.protocolVersion) ?? legacyRevisions[0]
        return success(id, JSON.stringify({ protocolVersion, capabilities: { tools: {} }, serverInfo }))
      }
      case 'ping':
        return success(id, '{}')
      case 'tools/list':
        return success(id, JSON.stringify({ tools }))
      case 'tools/call':
        return call(id, params, '')
      default:
        return failure(id, -32601, 'Method not found', 200)
    }
  }

  function answerModern(
    id: string,
    method: string,
    params: Record<string, unknown>,
    revision: unknown,
  ): EchoAnswer {
    if (era === 'legacy') return failure(id, -32601, 'Method not found', 200)
    if (revision !== modernRevision) return unsupportedVersion(id, revision)
    switch (method) {
      case 'server/discover': {
        const supportedVersions = era === 'both' ? [modernRevision, ...legacyRevisions] : [modernRevision]
        return success(id, JSON.stringify({ ...cacheable, supportedVersions, capabilities: { tools: {} } }))
      }
      case 'tools/list':
        return success(id, JSON.stringify({ ...cacheable, tools }))
      case 'tools/call':
        return call(id, params, '"resultType":"complete",')
      default:
        return failure(id, -32601, 'Method not found', 404)
    }
  }

  function call(id: string, params: Record<string, unknown>, resultType: string): EchoAnswer {
    const { message } = isRecord(params.arguments) ? params.arguments : {}
    if (params.name !== 'echo') return failure(id, -32602, 'Unknown tool', 200)
    if (typeof message !== 'string') return failure(id, -32602, 'message is not a string', 200)
    const text = `${JSON.stringify(message).slice(0, -1)}${filler}"`
    return success(id, `{${resultType}"content":[{"type":"text","text":${text}}]}`)
  }
}

function plainName(index: number): string {
  return index === 0 ? 'echo' : `tool-${index}`
}

export function failure(
  id: string | null,
  code: number,
  message: string,
  status: number,
  data?: unknown,
): EchoAnswer {
  return { text: `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify({ code, message, data })}}`, status }
}

function success(id: string, result: string): EchoAnswer {
  return { text: `{"jsonrpc":"2.0","id":${id},"result":${result}}`, status: 200 }
}

function unsupportedVersion(id: string, requested: unknown): EchoAnswer {
  return failure(id, -32022, 'Unsupported protocol version', 400, { supported: [modernRevision], requested })
}

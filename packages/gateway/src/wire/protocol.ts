/** Revisions that open a session with `initialize`, newest first. */
export const LEGACY_VERSIONS: readonly string[] = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05']
/** Revisions that carry version and capabilities in each request, newest first. */
export const MODERN_VERSIONS: readonly string[] = ['2026-07-28']

export const LATEST_LEGACY = '2025-11-25'
export const LATEST_MODERN = '2026-07-28'

/** The only revision that has JSON-RPC batches. */
export const BATCH_VERSION = '2025-03-26'
/** First revision whose clients understand an SSE event that only carries an id (2025-11-25, transports). */
export const PRIMING_SINCE = '2025-11-25'

/** Reserved `_meta` keys of 2026-07-28 (basic, section `_meta`). */
export const META_VERSION = 'io.modelcontextprotocol/protocolVersion'
export const META_CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities'
export const META_CLIENT_INFO = 'io.modelcontextprotocol/clientInfo'
export const META_LOG_LEVEL = 'io.modelcontextprotocol/logLevel'
export const META_SERVER_INFO = 'io.modelcontextprotocol/serverInfo'
export const META_SUBSCRIPTION = 'io.modelcontextprotocol/subscriptionId'

/** What a protocol version of `initialize` is answered with (2025-11-25 basic/lifecycle, "Version Negotiation"). */
export function negotiate(wanted: unknown): string {
  return typeof wanted === 'string' && LEGACY_VERSIONS.includes(wanted) ? wanted : LATEST_LEGACY
}

/** RFC 5424 severities as MCP names them, least important first. */
export const LOG_LEVELS: readonly string[] = [
  'debug',
  'info',
  'notice',
  'warning',
  'error',
  'critical',
  'alert',
  'emergency',
]

/** JSON-RPC 2.0 section 5.1, and the codes that MCP 2026-07-28 defines (basic, "Error Codes"). */
export const RpcCode = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  resourceNotFound: -32002,
  headerMismatch: -32020,
  missingClientCapability: -32021,
  unsupportedProtocolVersion: -32022,
} as const

/** Error codes that only a server of the modern era sends: they settle the question of its era. */
export function isModernErrorCode(code: unknown): boolean {
  return (
    code === RpcCode.headerMismatch ||
    code === RpcCode.missingClientCapability ||
    code === RpcCode.unsupportedProtocolVersion
  )
}

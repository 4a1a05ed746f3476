import { type ErrorCode, GatewayError, SallyportError, type UpstreamError } from '@sallyport/core'
import { RpcCode } from './protocol.ts'

/** How an error of ours is shown to an MCP client. The only place where our codes meet the wire. */
export interface WireError {
  /** HTTP status, if it is the whole answer. */
  readonly status: number
  readonly code: number
  readonly message: string
  readonly data: Readonly<Record<string, unknown>>
}

/**
 * What an MCP server did wrong is an answer to the call (200, so that clients read the JSON-RPC error); what the gateway
 * refuses has an HTTP status too.
 */
const wire = {
  ERR_CONFIG: { status: 500, code: RpcCode.internalError },
  ERR_PROTOCOL: { status: 400, code: RpcCode.invalidRequest },
  ERR_UNAUTHENTICATED: { status: 401, code: RpcCode.invalidRequest },
  ERR_FORBIDDEN: { status: 200, code: RpcCode.invalidRequest },
  ERR_AUDIT_UNAVAILABLE: { status: 503, code: RpcCode.internalError },
  ERR_CONSENT_REQUIRED: { status: 200, code: RpcCode.invalidRequest },
  ERR_LIMIT_EXCEEDED: { status: 429, code: RpcCode.invalidRequest },
  // not 404, which would tell the client that its session is gone
  ERR_ANSWER_LOST: { status: 400, code: RpcCode.invalidRequest },
  ERR_SHUTTING_DOWN: { status: 503, code: RpcCode.internalError },
  ERR_STORAGE_UNAVAILABLE: { status: 503, code: RpcCode.internalError },
  ERR_UPSTREAM_ERA: { status: 200, code: RpcCode.internalError },
  ERR_UPSTREAM_PROTOCOL: { status: 200, code: RpcCode.internalError },
  ERR_UPSTREAM_TIMEOUT: { status: 200, code: RpcCode.internalError },
  ERR_UPSTREAM_UNAVAILABLE: { status: 200, code: RpcCode.internalError },
} as const satisfies Record<ErrorCode, { status: number; code: number }>

export function errorOnWire(error: unknown): WireError {
  // the text of a foreign error may hold anything, so it stays inside
  if (!SallyportError.isInstance(error)) {
    return { status: 500, code: RpcCode.internalError, message: 'internal error', data: {} }
  }
  const facts = factsOf(error)
  return { ...wire[error.code], message: error.message, data: { code: error.code, ...facts } }
}

function factsOf(error: SallyportError): Readonly<Record<string, unknown>> {
  if (error instanceof GatewayError && error.data !== undefined) return error.data
  if (!isUpstreamError(error)) return {}
  const { retrySafe, retryAfterMs } = error
  return retryAfterMs === undefined ? { retrySafe } : { retrySafe, retryAfterMs }
}

/** Also one that another installed copy of the package made. */
function isUpstreamError(error: SallyportError): error is UpstreamError {
  return 'retrySafe' in error
}

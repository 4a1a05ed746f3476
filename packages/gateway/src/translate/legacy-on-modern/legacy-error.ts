import type { RpcError } from '../../call/internal-call.ts'
import { isRecord } from '../../wire/client-message.ts'
import { RpcCode } from '../../wire/protocol.ts'

/**
 * An error of the modern era as a legacy client understands it. The codes that came with 2026-07-28 mean nothing before it, so
 * they become ones that do; `data.upstreamCode` keeps what the server said.
 */
export function legacyError(method: string, error: RpcError): RpcError {
  switch (error.code) {
    case RpcCode.invalidParams:
      // 2026-07-28 server/resources, "Error Handling": the code of 2025-11-25 for a resource that is not there
      return method === 'resources/read' && namesResource(error)
        ? { ...error, code: RpcCode.resourceNotFound }
        : error
    // the client had no part in the headers, nor in the version
    case RpcCode.headerMismatch:
    case RpcCode.unsupportedProtocolVersion:
      return renamed(error, RpcCode.internalError)
    case RpcCode.missingClientCapability:
      return renamed(error, RpcCode.invalidRequest)
    default:
      return error
  }
}

function namesResource({ message, data }: RpcError): boolean {
  return (isRecord(data) && typeof data['uri'] === 'string') || /\bnot found\b/i.test(message)
}

function renamed(error: RpcError, code: number): RpcError {
  const data = isRecord(error.data) ? error.data : error.data === undefined ? {} : { data: error.data }
  return { code, message: error.message, data: { ...data, upstreamCode: error.code } }
}

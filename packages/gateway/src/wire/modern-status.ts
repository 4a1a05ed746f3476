import { RpcCode } from './protocol.ts'

/** The HTTP status that goes with an error of the modern era (2026-07-28 streamable-http; basic, "Error Codes"). */
export function modernStatus(code: unknown): number {
  switch (code) {
    case RpcCode.methodNotFound:
      return 404
    case RpcCode.parseError:
    case RpcCode.invalidRequest:
    case RpcCode.headerMismatch:
    case RpcCode.missingClientCapability:
    case RpcCode.unsupportedProtocolVersion:
      return 400
    default:
      return 200
  }
}

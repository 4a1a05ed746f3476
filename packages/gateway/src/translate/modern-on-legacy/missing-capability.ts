import { parseJson } from '../../wire/client-message.ts'
import { RpcCode } from '../../wire/protocol.ts'
import type { MessageScan } from '../../wire/scan-message.ts'
import type { RpcErrorObject } from './modern-response.ts'

type Members = Readonly<Record<string, unknown>>

const MAX_WORDS_BYTES = 64 * 1_024

/** What the client would have had to declare (2026-07-28 basic, "Error Codes"). `answer`: how the server put it. */
export function missingCapability(requiredCapabilities: Members, answer?: unknown): RpcErrorObject {
  const names = Object.keys(requiredCapabilities).join(', ')
  return {
    code: RpcCode.missingClientCapability,
    message: `Missing required client capability: ${names}`,
    data: { requiredCapabilities, ...(answer !== undefined && { answer }) },
  }
}

/** The result or error of a response: the capability need not be the only reason why a call failed. */
export function wordsOf(response: Buffer, scan: MessageScan): unknown {
  const isError = scan.errorStart >= 0
  const [start, end] = isError ? [scan.errorStart, scan.errorEnd] : [scan.resultStart, scan.resultEnd]
  return end - start > MAX_WORDS_BYTES ? undefined : parseJson(response.subarray(start, end))
}

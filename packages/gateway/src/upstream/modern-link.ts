import type { RequestContext, SallyportError } from '@sallyport/core'
import type { Call, Carrier } from '../call/call.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import type { ProcessStatus } from './process-status.ts'

/** How calls of the modern era reach one server. Every call stands alone; there is no session to open. */
export interface ModernLink extends Carrier {
  /** The child process at its end, if there is one. */
  readonly process: ProcessStatus | undefined
  /** Resolves when nothing of it is left. Calls that are open fail. */
  close(): Promise<void>
}

/** Where calls go for which there can be no link now. */
export function refusedLink(error: SallyportError): ModernLink {
  return {
    process: undefined,
    send: (call) => call.fail(error),
    cancel() {},
    async close() {},
  }
}

/** A subscription stays open as long as the caller listens; everything else has its time. */
export function timeoutOf(call: Call, timeoutMs: number): number {
  return call.method === 'subscriptions/listen' ? 0 : timeoutMs
}

/** A notification that belongs to a call. */
export type ModernNotice = (message: Buffer, scan: MessageScan, call: Call) => void

/** Whether a server may ask this of the caller. At once, if that needs no time. */
export type QuestionGate = (
  message: Buffer,
  scan: MessageScan,
  context: RequestContext,
) => boolean | Promise<boolean>

import type { Call } from '../call/call.ts'
import type { MessageScan } from '../wire/scan-message.ts'

/** How calls of the modern era reach one server. Every call stands alone; there is no session to open. */
export interface ModernLink {
  /** `timeoutMs` 0: as long as the caller listens. */
  send(call: Call, timeoutMs?: number): void
  cancel(call: Call, reason: string | undefined): void
  close(): void
}

/** A notification that belongs to a call. */
export type ModernNotice = (message: Buffer, scan: MessageScan, call: Call) => void

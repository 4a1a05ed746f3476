import type { CallIntent } from '@sallyport/core'
import { refusal } from './channels.ts'

/** Tells subscribers that a message was not let through. Ask `refusal.hasSubscribers` before making up an intent for it. */
export function publishRefusal(intent: CallIntent, code: number | string | undefined): void {
  const { method, server, target, endpoint, principal, remoteAddress } = intent
  const { tenant, subject } = principal ?? {}
  refusal.publish({ code, method, server, target, endpoint, tenant, subject, remoteAddress })
}

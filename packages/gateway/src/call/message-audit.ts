import type { CallIntent, Principal, RequestContext } from '@sallyport/core'
import { parseJson, type RpcMessage } from '../wire/client-message.ts'
import { refusal } from '../observe/channels.ts'
import { publishRefusal } from '../observe/publish-refusal.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import type { AuditTrail } from './audit-trail.ts'
import { isOneServer } from './endpoint.ts'

/** Where something came from that could not be understood, as far as that is known. */
export interface Sender {
  /** Absent before authentication. */
  readonly principal?: Principal
  readonly endpoint?: string | undefined
  readonly remoteAddress?: string | undefined
}

/** Audit entries for what has no answer of a server: they are made in one piece, and nothing waits for them. */
export class MessageAudit {
  readonly #trail: AuditTrail

  constructor(trail: AuditTrail) {
    this.#trail = trail
  }

  /** A notification or response of a client, or a request that was turned away. */
  message(context: RequestContext, message: RpcMessage, status: 'ok' | 'refused', code?: number): void {
    const { method, id, kind, bytes } = message
    this.#note(
      {
        ...this.#caller(context),
        at: this.#trail.now(),
        from: 'client',
        kind,
        method: method === '' ? undefined : method,
        requestId: id,
        bytes: bytes.length,
      },
      status,
      code,
    )
  }

  /** Something that is no message, or a request that was turned away before anybody was known. */
  invalid(sender: Sender, bytes: number, code: number | string): void {
    this.#note({ ...sender, at: this.#trail.now(), from: 'client', kind: 'invalid', bytes }, 'refused', code)
  }

  /** A notification or question of a server for a caller. */
  fromServer(
    kind: 'notification' | 'request',
    context: RequestContext,
    server: string,
    message: Buffer,
    scan: MessageScan,
    status: 'ok' | 'refused' = 'ok',
  ): void {
    const method = String(parseJson(message.subarray(scan.methodStart, scan.methodEnd)))
    const at = this.#trail.now()
    const bytes = message.length
    this.#note({ ...this.#caller(context), at, from: 'server', kind, server, method, bytes }, status)
  }

  #caller({ principal, era, sessionId, endpoint, remoteAddress, trace }: RequestContext) {
    return {
      principal,
      era,
      sessionId,
      endpoint,
      server: isOneServer(endpoint) ? endpoint : undefined,
      remoteAddress,
      trace,
    }
  }

  #note(intent: CallIntent, status: 'ok' | 'refused', code?: number | string): void {
    this.#trail.note(intent, { status, code, bytes: 0 })
    if (status === 'refused' && refusal.hasSubscribers) publishRefusal(intent, code)
  }
}

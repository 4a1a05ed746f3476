import {
  type AuditTicket,
  type CallIntent,
  type CallOutcome,
  type GatewayInterceptor,
  type InterceptedCall,
  type RequestContext,
  SallyportError,
} from '@sallyport/core'
import { idBytes, isRecord, parseJson, type RpcMessage } from '../wire/client-message.ts'
import { errorOnWire } from '../wire/error-on-wire.ts'
import { errorMessage, resultMessage } from '../wire/json-rpc.ts'
import { type MessageScan, scanMessage } from '../wire/scan-message.ts'
import type { Edit } from '../wire/splice.ts'
import type { AuditTrail } from './audit-trail.ts'
import type { Call } from './call.ts'
import type { Reply } from './reply.ts'
import { runResponsePhase } from './interceptor-phases.ts'

/** One request of a client, from the moment it is understood until its outcome is recorded. */
export class Flow implements Call {
  readonly message: RpcMessage
  readonly context: RequestContext
  readonly idText: Uint8Array
  bytes: Buffer
  scan: MessageScan
  edits: readonly Edit[] = []
  headers: readonly string[]
  /** Tells the server that nobody waits any more; set by the link that carries the call. */
  withdraw: ((reason: string | undefined) => void) | undefined
  /** Set by whoever keeps a list of open calls. */
  onSettled: (() => void) | undefined
  /** Called once the call is over, whatever the end: by the front, and by the gateway's list of open calls. */
  onEnd: (() => void) | undefined
  onClosed: (() => void) | undefined
  /** What the server was asked, for interceptors that want to see the answer. */
  intercepted: InterceptedCall | undefined
  readonly #reply: Reply
  readonly #trail: AuditTrail
  readonly #interceptors: readonly GatewayInterceptor[]
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  #ticket: AuditTicket | undefined
  #settled = false

  constructor(
    message: RpcMessage,
    context: RequestContext,
    reply: Reply,
    trail: AuditTrail,
    interceptors: readonly GatewayInterceptor[],
    headers: readonly string[],
  ) {
    this.message = message
    this.bytes = message.bytes
    this.scan = message.scan
    this.context = context
    this.idText = idBytes(message)
    this.headers = headers
    this.#reply = reply
    this.#trail = trail
    this.#interceptors = interceptors
    this.startedAt = trail.now()
  }

  get method(): string {
    return this.message.method
  }

  /** A subscription: it ends when somebody ends it. */
  get endless(): boolean {
    return this.message.method === 'subscriptions/listen'
  }

  get settled(): boolean {
    return this.#settled
  }

  /** Records the intent, then lets the call go on. `server` and `target` are what the route has found. */
  begin(server: string | undefined, target: string | undefined, proceed: () => void): void {
    this.#trail.begin(
      this.#intent(server, target),
      (ticket) => {
        this.#ticket = ticket
        if (this.#settled) this.#record({ status: 'cancelled', bytes: 0 })
        else proceed()
      },
      (error) => this.fail(error),
    )
  }

  /** Replaces the message, where an edit of single members is not enough. */
  rewrite(bytes: Buffer): void {
    const scan = scanMessage(bytes.toString('latin1'))
    if (scan === undefined) throw new TypeError('the rewritten message is not a JSON object')
    this.bytes = bytes
    this.scan = scan
    this.edits = []
  }

  interim(message: Buffer): void {
    if (!this.#settled) this.#reply.interim(message)
  }

  pause(retryMs: number | undefined): void {
    if (!this.#settled) this.#reply.pause(retryMs)
  }

  final(response: Buffer, scan: MessageScan, status: number): void {
    if (this.#settled) return
    const { intercepted } = this
    if (intercepted === undefined) {
      this.#finish(response, scan, status)
      return
    }
    runResponsePhase(this.#interceptors, this.context, intercepted, response, (changed) => {
      if (changed instanceof Error) this.fail(changed)
      else if (changed === response) this.#finish(response, scan, status)
      else this.#finish(changed, scanMessage(changed.toString('latin1')) ?? scan, status)
    })
  }

  /** A result of the gateway's own. */
  answer(resultJson: string): void {
    if (this.#settle()) {
      const response = resultMessage(this.idText, resultJson)
      this.#reply.final(response, 200)
      this.#record({ status: 'ok', bytes: response.length })
    }
  }

  /** An error of the protocol, found by the gateway. */
  reject(status: number, error: { code: number; message: string; data?: unknown }): void {
    if (this.#settle()) {
      const response = errorMessage(this.idText, error)
      this.#reply.final(response, status)
      this.#record({ status: 'refused', code: error.code, bytes: response.length })
    }
  }

  fail(error: unknown): void {
    if (this.#settle()) {
      const { status, ...shown } = errorOnWire(error)
      const response = errorMessage(this.idText, shown)
      this.#reply.final(response, status)
      const code = SallyportError.isInstance(error) ? error.code : 'ERR_INTERNAL'
      const byServer = code.startsWith('ERR_UPSTREAM') || code === 'ERR_INTERNAL'
      this.#record({ status: byServer ? 'failed' : 'refused', code, bytes: response.length })
    }
  }

  /** The client does not want the answer any more. */
  cancel(reason?: string): void {
    if (this.#settle()) {
      this.withdraw?.(reason)
      this.#reply.abandon()
      this.#record({ status: 'cancelled', bytes: 0 })
    }
  }

  #finish(response: Buffer, scan: MessageScan, status: number): void {
    if (!this.#settle()) return
    this.#reply.final(response, status)
    const bytes = response.length
    if (scan.errorStart >= 0) this.#record({ status: 'error', code: errorCode(response, scan), bytes })
    else this.#record({ status: scan.isError ? 'tool-error' : 'ok', bytes })
  }

  #settle(): boolean {
    if (this.#settled) return false
    this.#settled = true
    this.onSettled?.()
    this.onEnd?.()
    this.onClosed?.()
    return true
  }

  #record(outcome: Omit<CallOutcome, 'durationMs'>): void {
    const durationMs = Math.max(0, this.#trail.now() - this.startedAt)
    if (this.#ticket !== undefined) this.#trail.end(this.#ticket, { ...outcome, durationMs })
    // refused before a route was found: the entry is made now, in one piece; a recorder that refused is not asked again
    else if (outcome.code !== 'ERR_AUDIT_UNAVAILABLE')
      this.#trail.note(this.#intent(undefined, undefined), outcome)
  }

  #intent(server: string | undefined, target: string | undefined): CallIntent {
    const { context, message } = this
    return {
      at: this.startedAt,
      from: 'client',
      kind: 'request',
      principal: context.principal,
      era: context.era,
      method: message.method,
      bytes: message.bytes.length,
      ...(message.id !== undefined && { requestId: message.id }),
      ...(context.sessionId !== undefined && { sessionId: context.sessionId }),
      ...(context.remoteAddress !== undefined && { remoteAddress: context.remoteAddress }),
      ...(context.endpoint !== undefined && { endpoint: context.endpoint }),
      ...(server !== undefined && { server }),
      ...(target !== undefined && { target }),
      ...(context.trace !== undefined && { trace: context.trace }),
    }
  }
}

function errorCode(response: Buffer, scan: MessageScan): number {
  const error = parseJson(response.subarray(scan.errorStart, scan.errorEnd))
  return isRecord(error) && typeof error['code'] === 'number' ? error['code'] : 0
}

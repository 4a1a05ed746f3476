import {
  type AuditTicket,
  type CallIntent,
  type CallOutcome,
  type ErrorCode,
  GatewayError,
  type GatewayInterceptor,
  type InterceptedCall,
  type RequestContext,
  SallyportError,
} from '@sallyport/core'
import { idBytes, idKey, isRecord, parseJson, type RpcId, type RpcMessage } from '../wire/client-message.ts'
import { errorOnWire } from '../wire/error-on-wire.ts'
import { errorMessage, resultMessage } from '../wire/json-rpc.ts'
import { RpcCode } from '../wire/protocol.ts'
import { type MessageScan, scanMessage } from '../wire/scan-message.ts'
import type { Edit } from '../wire/splice.ts'
import type { ObservedCall } from '../observe/observed-call.ts'
import { refusal } from '../observe/channels.ts'
import { publishRefusal } from '../observe/publish-refusal.ts'
import type { AuditTrail } from './audit-trail.ts'
import type { Call, Carrier, CarrierSource } from './call.ts'
import type { Reply } from './reply.ts'
import { runResponsePhase } from './interceptor-phases.ts'

/** Whoever keeps a list of open calls. */
export interface FlowKeeper {
  settled(flow: Flow): void
}

/** What stands between a call and its server, from the moment that the call may be sent. */
export interface FlowGuard extends FlowKeeper {
  /** True if the call goes on although it failed: it is made again. */
  takesOver(flow: Flow, error: unknown): boolean
}

/** Which server a call is for. */
export interface FlowRoute {
  readonly server: string
  /** Name or URI as the server knows it. */
  readonly target: string | undefined
  readonly carriers: CarrierSource
  /** Remembers what the server keeps for it, once the request goes out. */
  readonly memory?: {
    remember(server: string, method: string, params: Readonly<Record<string, unknown>>): void
  }
}

/** Knows whether a call may be made twice. */
export interface Repeatable {
  isSafe(): Promise<boolean>
}

/** Looks at the answer of a server before anybody else does. */
export interface AnswerScreen {
  /** `done` gets the answer to go on with, or the error that takes its place. */
  screen(flow: Flow, response: Buffer, scan: MessageScan, done: (shown: Buffer | Error) => void): void
}

/** One request of a client, from the moment it is understood until its outcome is recorded. */
export class Flow implements Call {
  readonly message: RpcMessage
  /** Changes only while the call begins, when somebody who observes it continues its trace. */
  context: RequestContext
  readonly idText: Uint8Array
  bytes: Buffer
  scan: MessageScan
  edits: readonly Edit[] = []
  headers: readonly string[]
  /** The client sent none because it is not on HTTP, or what it sent is about other arguments. */
  lacksParamHeaders = false
  /** Where the call is; it is told when nobody waits any more. */
  carrier: Carrier | undefined
  /** Where it is sent. */
  route: FlowRoute | undefined
  guard: FlowGuard | undefined
  /** Only where its server is configured for retries. */
  repeatable: Repeatable | undefined
  /** How often it was made again. */
  repeats = 0
  /** The server gave its answer. */
  answered = false
  /** Why there is none. */
  failure: SallyportError | undefined
  #heard = false
  /** The server that the call goes to, once that is known. */
  server: string | undefined
  screen: AnswerScreen | undefined
  /** What the server was asked, for interceptors that want to see the answer. */
  intercepted: InterceptedCall | undefined
  /** Absent unless somebody observes calls. */
  observed: ObservedCall | undefined
  readonly #reply: Reply
  readonly #trail: AuditTrail
  readonly #interceptors: readonly GatewayInterceptor[]
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly #keepers: FlowKeeper[] = []
  #ticket: AuditTicket | undefined
  /** The recorder was asked and has not given a ticket yet. */
  #isBeginning = false
  /** What became of the call meanwhile. */
  #lateOutcome: CallOutcome | undefined
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

  /** The keeper is told when the call is over, whatever the end. */
  keptBy(keeper: FlowKeeper): void {
    this.#keepers.push(keeper)
  }

  /** What the call is remembered under by whoever has to know its id. */
  get key(): RpcId | undefined {
    const { id } = this.message
    return id === undefined ? undefined : idKey(id, this.idText)
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

  /** The client has got something that belongs to the call. */
  get wasHeard(): boolean {
    return this.#heard
  }

  /** Sends the call to its server. */
  dispatch(): void {
    const { route } = this
    if (route === undefined) return
    const carrier = route.carriers.carrierFor(this)
    this.carrier = carrier
    route.memory?.remember(route.server, this.method, this.message.params)
    this.observed?.sent(route.server, route.target)
    carrier.send(this)
  }

  /** Records the intent, then lets the call go on. `server` and `target` are what the route has found. */
  begin(server: string | undefined, target: string | undefined, proceed: () => void): void {
    const begun = this.#trail.begin(this.#intent(server, target))
    if (begun instanceof Promise) {
      this.#isBeginning = true
      void begun.then((ticket) => this.#begun(ticket, proceed))
    } else this.#begun(begun, proceed)
  }

  #begun(begun: AuditTicket | GatewayError, proceed: () => void): void {
    if (begun instanceof GatewayError) {
      this.fail(begun)
      return
    }
    this.#ticket = begun
    if (this.#lateOutcome !== undefined) this.#trail.end(begun, this.#lateOutcome)
    else proceed()
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
    if (this.#settled) return
    this.#heard = true
    this.#reply.interim(message)
  }

  pause(retryMs: number | undefined): void {
    if (!this.#settled) this.#reply.pause(retryMs)
  }

  final(response: Buffer, scan: MessageScan, status: number): void {
    if (this.#settled) return
    this.observed?.answered(response, scan)
    this.answered = true
    if (this.screen === undefined) {
      this.#answered(response, scan, status)
      return
    }
    this.screen.screen(this, response, scan, (shown) => {
      if (shown instanceof Error) this.fail(shown)
      else if (shown === response) this.#answered(response, scan, status)
      else this.#answered(shown, scanMessage(shown.toString('latin1')) ?? scan, status)
    })
  }

  #answered(response: Buffer, scan: MessageScan, status: number): void {
    const { intercepted } = this
    if (intercepted === undefined) {
      this.#finish(response, scan, status)
      return
    }
    runResponsePhase(this.#interceptors, this.context, intercepted, response, (changed) => {
      if (changed instanceof Error) this.fail(changed)
      else if (changed === response) this.#finish(response, scan, status)
      else {
        if (!keepsQuestions(response, changed)) this.carrier?.cancel(this, WITHHELD)
        this.#finish(changed, scanMessage(changed.toString('latin1')) ?? scan, status)
      }
    })
  }

  /** A result of the gateway's own. */
  answer(resultJson: string): void {
    if (this.#settle()) {
      const response = resultMessage(this.idText, resultJson)
      this.#reply.final(response, 200)
      this.#record('ok', undefined, response.length)
    }
  }

  /**
   * An error of the protocol, found by the gateway.
   * @param recordedAs code for the audit entry, where the client is shown another one
   */
  reject(
    status: number,
    error: { code: number; message: string; data?: unknown },
    recordedAs: ErrorCode | number = error.code,
  ): void {
    if (this.#settle()) {
      const response = errorMessage(this.idText, error)
      this.#reply.final(response, status)
      this.#record('refused', recordedAs, response.length)
    }
  }

  /** Scopes are missing: the client can get a better token and call again (2026-07-28 basic/authorization, "Step-Up"). */
  stepUp(scopes: readonly string[]): void {
    if (this.#settled) return
    const message = 'the token lacks a scope'
    this.#reply.challenge({ status: 403, error: 'insufficient_scope', description: message, scopes })
    const data = { code: 'ERR_FORBIDDEN', scopes }
    this.reject(403, { code: RpcCode.invalidRequest, message, data }, 'ERR_FORBIDDEN')
  }

  /** Headers for the answer, if it has any. */
  annotate(headers: Readonly<Record<string, string>>): void {
    if (!this.#settled) this.#reply.annotate(headers)
  }

  fail(error: unknown): void {
    if (!this.#settled && this.guard?.takesOver(this, error) === true) return
    if (SallyportError.isInstance(error)) this.failure = error
    if (this.#settle()) {
      // the client will not come back with answers to questions that it does not get
      if (this.answered) this.carrier?.cancel(this, WITHHELD)
      const { status, ...shown } = errorOnWire(error)
      const response = errorMessage(this.idText, shown)
      // the server has done its part: no status may ask for doing it again
      this.#reply.final(response, this.answered ? 200 : status)
      const code = SallyportError.isInstance(error) ? error.code : 'ERR_INTERNAL'
      const byServer = code.startsWith('ERR_UPSTREAM') || code === 'ERR_INTERNAL'
      this.#record(byServer ? 'failed' : 'refused', code, response.length)
    }
  }

  /** The client is gone. */
  gone(): void {
    this.cancel('the client hung up')
  }

  /** The client does not want the answer any more. */
  cancel(reason?: string): void {
    if (this.#settle()) {
      this.carrier?.cancel(this, reason)
      this.#reply.abandon()
      this.#record('cancelled', undefined, 0)
    }
  }

  #finish(response: Buffer, scan: MessageScan, status: number): void {
    if (!this.#settle()) return
    this.#reply.final(response, status)
    const bytes = response.length
    if (scan.errorStart >= 0) this.#record('error', errorCode(response), bytes)
    else this.#record(scan.isError ? 'tool-error' : 'ok', undefined, bytes)
  }

  #settle(): boolean {
    if (this.#settled) return false
    this.#settled = true
    this.guard?.settled(this)
    for (const keeper of this.#keepers) keeper.settled(this)
    return true
  }

  #record(status: CallOutcome['status'], code: number | string | undefined, bytes: number): void {
    const outcome = { status, code, bytes, durationMs: Math.max(0, this.#trail.now() - this.startedAt) }
    this.observed?.ended(outcome)
    if (status === 'refused' && refusal.hasSubscribers)
      publishRefusal(this.#intent(undefined, undefined), code)
    if (this.#ticket !== undefined) this.#trail.end(this.#ticket, outcome)
    else if (this.#isBeginning) this.#lateOutcome = outcome
    // refused before a route was found: the entry is made now, in one piece; a recorder that refused is not asked again
    else if (code !== 'ERR_AUDIT_UNAVAILABLE') this.#trail.note(this.#intent(undefined, undefined), outcome)
  }

  #intent(server: string | undefined, target: string | undefined): CallIntent {
    const { context, message } = this
    return {
      at: this.startedAt,
      from: 'client',
      kind: 'request',
      principal: context.principal,
      era: context.era,
      sessionId: context.sessionId,
      remoteAddress: context.remoteAddress,
      endpoint: context.endpoint,
      server,
      method: message.method,
      target,
      requestId: message.id,
      bytes: message.bytes.length,
      trace: context.trace,
    }
  }
}

const WITHHELD = 'its answer was withheld from the client'

/** False if the client was to come back with answers to questions, and `changed` does not tell it how. */
function keepsQuestions(response: Buffer, changed: Buffer): boolean {
  if (!response.includes('"input_required"')) return true
  const state = requestState(response)
  return state === undefined || requestState(changed) === state
}

function requestState(response: Buffer): unknown {
  const message = parseJson(response)
  const result = isRecord(message) ? message['result'] : undefined
  return isRecord(result) && result['resultType'] === 'input_required' ? result['requestState'] : undefined
}

/** The scan was made before the caller's id was put back, so its positions may be others. */
function errorCode(response: Buffer): number {
  const message = parseJson(response)
  const error = isRecord(message) ? message['error'] : undefined
  return isRecord(error) && typeof error['code'] === 'number' ? error['code'] : 0
}

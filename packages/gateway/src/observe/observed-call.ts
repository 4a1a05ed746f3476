import {
  type CallOutcome,
  isStdioServer,
  type ProtocolEra,
  type ServerDefinition,
  type TraceContext,
} from '@sallyport/core'
import type { Flow } from '../call/flow.ts'
import { requestTarget } from '../call/request-target.ts'
import { withTraceHeaders } from '../front/trace.ts'
import type { UpstreamTable } from '../upstream/upstream-table.ts'
import { isRecord, parseJson } from '../wire/client-message.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import { splice } from '../wire/splice.ts'
import { traceEdits } from '../wire/trace-edits.ts'
import { callEnd, callStart, upstreamCallEnd, upstreamCallStart } from './channels.ts'
import type { GatewayCall, UpstreamCall } from './events.ts'

/** True if somebody wants to hear of calls. Asked once per call, when it begins. */
export function callsAreObserved(): boolean {
  return (
    callStart.hasSubscribers ||
    upstreamCallStart.hasSubscribers ||
    callEnd.hasSubscribers ||
    upstreamCallEnd.hasSubscribers
  )
}

/** Tells subscribers of one client's request and of what becomes of it. Exists only if there were any when it began. */
export class ObservedCall {
  readonly #flow: Flow
  readonly #upstreams: UpstreamTable
  readonly #call: GatewayCall
  readonly #startedAt = performance.now()
  #server: string | undefined
  #upstreamCall: UpstreamCall | undefined
  #sentAt = 0
  /** The trace context that subscribers want the server to see, if they want any. */
  trace: TraceContext | undefined
  #traceApplied = false

  constructor(flow: Flow, upstreams: UpstreamTable) {
    this.#flow = flow
    this.#upstreams = upstreams
    this.#call = new CallEvent(flow, this)
    callStart.publish(this.#call)
  }

  /** Before the message leaves for a server. */
  sent(server: string, target: string | undefined): void {
    // sent again: what became of it there is known to whoever sends, not here
    if (this.#upstreamCall !== undefined) this.#endUpstream('failed', undefined, 0)
    this.#server = server
    this.#sentAt = performance.now()
    const before = this.trace
    const definition = this.#upstreams.get(server)?.definition
    const call = new UpstreamCallEvent(this.#flow, this.#call, this, server, target, definition)
    this.#upstreamCall = call
    upstreamCallStart.publish(call)
    if (this.trace !== undefined && (before !== this.trace || !this.#traceApplied)) this.#apply(this.trace)
  }

  /** The server's response, before interceptors see it. */
  answered(response: Buffer, scan: MessageScan): void {
    if (this.#upstreamCall === undefined) return
    if (scan.errorStart < 0) this.#endUpstream(scan.isError ? 'tool-error' : 'ok', undefined, response.length)
    else {
      const error = parseJson(response.subarray(scan.errorStart, scan.errorEnd))
      const code = isRecord(error) && typeof error['code'] === 'number' ? error['code'] : 0
      this.#endUpstream('error', code, response.length)
    }
  }

  ended({ status, code, bytes }: CallOutcome): void {
    if (this.#upstreamCall !== undefined) {
      this.#endUpstream(status === 'refused' ? 'cancelled' : status, code, 0)
    }
    const durationMs = performance.now() - this.#startedAt
    callEnd.publish({ call: this.#call, status, code, server: this.#server, bytes, durationMs })
  }

  #endUpstream(
    status: Exclude<CallOutcome['status'], 'refused'>,
    code: number | string | undefined,
    bytes: number,
  ): void {
    const call = this.#upstreamCall
    this.#upstreamCall = undefined
    if (call === undefined) return
    upstreamCallEnd.publish({ call, status, code, bytes, durationMs: performance.now() - this.#sentAt })
  }

  #apply(trace: TraceContext): void {
    const flow = this.#flow
    const { paramsStart } = flow.scan
    // edits must not overlap, and those of an earlier trace context or of the whole params would
    if (this.#traceApplied || flow.edits.some(([start]) => start <= paramsStart))
      flow.rewrite(splice(flow.bytes, ...flow.edits))
    this.#traceApplied = true
    flow.edits = [...flow.edits, ...traceEdits(flow.bytes, flow.scan, trace)]
    flow.headers = withTraceHeaders(flow.headers, trace)
  }
}

/** What subscribers are given; classes, because closures in objects that live as long as a call burden the collector. */
class CallEvent implements GatewayCall {
  readonly method: string
  readonly requestId: string | number | undefined
  readonly target: string | undefined
  readonly endpoint: string | undefined
  readonly era: ProtocolEra
  readonly protocolVersion: string
  readonly sessionId: string | undefined
  readonly tenant: string
  readonly subject: string
  readonly remoteAddress: string | undefined
  readonly #flow: Flow
  readonly #observed: ObservedCall

  constructor(flow: Flow, observed: ObservedCall) {
    const { context, message } = flow
    const { principal, era, protocolVersion, sessionId, endpoint, remoteAddress } = context
    this.method = message.method
    this.requestId = message.id
    this.target = requestTarget(message.method, message.params)
    this.endpoint = endpoint
    this.era = era
    this.protocolVersion = protocolVersion
    this.sessionId = sessionId
    this.tenant = principal.tenant
    this.subject = principal.subject
    this.remoteAddress = remoteAddress
    this.#flow = flow
    this.#observed = observed
  }

  get trace(): TraceContext | undefined {
    return this.#flow.context.trace
  }

  continueTrace(trace: TraceContext): void {
    const flow = this.#flow
    if (flow.carrier !== undefined || flow.settled) return
    const merged = { ...flow.context.trace, ...trace }
    flow.context = { ...flow.context, trace: merged }
    this.#observed.trace = merged
  }
}

class UpstreamCallEvent implements UpstreamCall {
  readonly call: GatewayCall
  readonly server: string
  readonly method: string
  readonly target: string | undefined
  readonly era: ProtocolEra
  readonly protocolVersion: string
  readonly transport: 'stdio' | 'http' | undefined
  readonly address: string | undefined
  readonly port: number | undefined
  readonly #observed: ObservedCall
  #trace: TraceContext | undefined

  constructor(
    flow: Flow,
    call: GatewayCall,
    observed: ObservedCall,
    server: string,
    target: string | undefined,
    definition: ServerDefinition | undefined,
  ) {
    const url = definition === undefined || isStdioServer(definition) ? undefined : new URL(definition.url)
    this.call = call
    this.server = server
    this.method = flow.method
    this.target = target
    this.era = flow.context.era
    this.protocolVersion = flow.context.protocolVersion
    if (definition !== undefined) this.transport = url === undefined ? 'stdio' : 'http'
    this.address = url?.hostname
    if (url !== undefined) this.port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
    this.#trace = flow.context.trace
    this.#observed = observed
  }

  get trace(): TraceContext | undefined {
    return this.#trace
  }

  continueTrace(trace: TraceContext): void {
    this.#trace = { ...this.#trace, ...trace }
    this.#observed.trace = this.#trace
  }
}

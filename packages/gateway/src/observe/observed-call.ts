import { type CallOutcome, isStdioServer, type TraceContext } from '@sallyport/core'
import type { Flow } from '../call/flow.ts'
import { traceHeaders } from '../front/trace.ts'
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
  /** The trace context that subscribers want the server to see. */
  #trace: TraceContext | undefined
  #traceApplied = false

  constructor(flow: Flow, upstreams: UpstreamTable) {
    this.#flow = flow
    this.#upstreams = upstreams
    this.#call = gatewayCall(flow, (trace) => {
      this.#trace = trace
    })
    callStart.publish(this.#call)
  }

  /** Before the message leaves for a server. */
  sent(server: string, target: string | undefined): void {
    // sent again: what became of it there is known to whoever sends, not here
    if (this.#upstreamCall !== undefined) this.#endUpstream('failed', undefined, 0)
    this.#server = server
    this.#sentAt = performance.now()
    const trace = this.#trace
    const call = upstreamCall(this.#flow, this.#call, server, target, this.#upstreams, (continued) => {
      this.#trace = continued
    })
    this.#upstreamCall = call
    upstreamCallStart.publish(call)
    if (this.#trace !== undefined && (trace !== this.#trace || !this.#traceApplied)) this.#apply(this.#trace)
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

function gatewayCall(flow: Flow, continued: (trace: TraceContext) => void): GatewayCall {
  const { context, message } = flow
  const { principal, era, protocolVersion, sessionId, endpoint, remoteAddress } = context
  const target = message.params['name'] ?? message.params['uri']
  return {
    method: message.method,
    requestId: message.id,
    target: typeof target === 'string' ? target : undefined,
    endpoint,
    era,
    protocolVersion,
    sessionId,
    tenant: principal.tenant,
    subject: principal.subject,
    remoteAddress,
    get trace() {
      return flow.context.trace
    },
    continueTrace(trace) {
      if (flow.carrier !== undefined || flow.settled) return
      const merged = { ...flow.context.trace, ...trace }
      flow.context = { ...flow.context, trace: merged }
      continued(merged)
    },
  }
}

function upstreamCall(
  flow: Flow,
  call: GatewayCall,
  server: string,
  target: string | undefined,
  upstreams: UpstreamTable,
  continued: (trace: TraceContext) => void,
): UpstreamCall {
  const definition = upstreams.get(server)?.definition
  const url = definition === undefined || isStdioServer(definition) ? undefined : new URL(definition.url)
  let trace = flow.context.trace
  return {
    call,
    server,
    method: flow.method,
    target,
    era: flow.context.era,
    protocolVersion: flow.context.protocolVersion,
    transport: definition === undefined ? undefined : url === undefined ? 'stdio' : 'http',
    address: url?.hostname,
    port: url === undefined ? undefined : Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
    get trace() {
      return trace
    },
    continueTrace(next) {
      trace = { ...trace, ...next }
      continued(trace)
    },
  }
}

const TRACE_HEADERS: readonly string[] = ['traceparent', 'tracestate', 'baggage']

/** Name and value in turn, with the trace context replaced. */
export function withTraceHeaders(headers: readonly string[], trace: TraceContext): readonly string[] {
  const others = headers.filter((_, index) => !TRACE_HEADERS.includes(headers[index - (index % 2)] ?? ''))
  return [...others, ...traceHeaders(trace)]
}

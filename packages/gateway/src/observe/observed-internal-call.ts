import type { CallOutcome, ProtocolEra, RequestContext, TraceContext } from '@sallyport/core'
import { isRecord } from '../wire/client-message.ts'
import { upstreamCallEnd, upstreamCallStart } from './channels.ts'
import type { UpstreamCall } from './events.ts'

/** True if somebody wants to hear of requests to servers. */
export function internalCallsAreObserved(): boolean {
  return upstreamCallStart.hasSubscribers || upstreamCallEnd.hasSubscribers
}

/** Tells subscribers of one request that the gateway makes of its own. Exists only if there were any when it was made. */
export class ObservedInternalCall {
  readonly #call: InternalCallEvent
  readonly #startedAt = performance.now()

  constructor(server: string, context: RequestContext, method: string) {
    this.#call = new InternalCallEvent(server, context, method)
    upstreamCallStart.publish(this.#call)
  }

  /** The trace context that subscribers want the server to see, if they want any. */
  get trace(): TraceContext | undefined {
    return this.#call.continued ? this.#call.trace : undefined
  }

  /** `params` with that trace context in its `_meta` (SEP-414). */
  traced(params: unknown): unknown {
    const { trace } = this
    if (trace === undefined || (params !== undefined && !isRecord(params))) return params
    const meta = params?.['_meta']
    return { ...params, _meta: { ...(isRecord(meta) && meta), ...trace } }
  }

  ended(
    status: Exclude<CallOutcome['status'], 'refused'>,
    code: number | string | undefined,
    bytes: number,
  ): void {
    const durationMs = performance.now() - this.#startedAt
    upstreamCallEnd.publish({ call: this.#call, status, code, bytes, durationMs })
  }
}

class InternalCallEvent implements UpstreamCall {
  readonly call = undefined
  readonly server: string
  readonly method: string
  readonly target = undefined
  readonly era: ProtocolEra
  readonly protocolVersion: string
  readonly transport = undefined
  readonly address = undefined
  readonly port = undefined
  #trace: TraceContext | undefined
  #continued = false

  constructor(server: string, { era, protocolVersion, trace }: RequestContext, method: string) {
    this.server = server
    this.method = method
    this.era = era
    this.protocolVersion = protocolVersion
    this.#trace = trace
  }

  get trace(): TraceContext | undefined {
    return this.#trace
  }

  get continued(): boolean {
    return this.#continued
  }

  continueTrace(trace: TraceContext): void {
    this.#trace = { ...this.#trace, ...trace }
    this.#continued = true
  }
}

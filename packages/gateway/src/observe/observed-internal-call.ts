import type { CallOutcome, RequestContext, TraceContext } from '@sallyport/core'
import { isRecord } from '../wire/client-message.ts'
import { upstreamCallEnd, upstreamCallStart } from './channels.ts'
import type { UpstreamCall } from './events.ts'

/** True if somebody wants to hear of requests to servers. */
export function internalCallsAreObserved(): boolean {
  return upstreamCallStart.hasSubscribers || upstreamCallEnd.hasSubscribers
}

/** Tells subscribers of one request that the gateway makes of its own. Exists only if there were any when it was made. */
export class ObservedInternalCall {
  readonly #call: UpstreamCall
  readonly #startedAt = performance.now()
  #continued: TraceContext | undefined

  constructor(server: string, context: RequestContext, method: string) {
    let trace = context.trace
    this.#call = {
      call: undefined,
      server,
      method,
      target: undefined,
      era: context.era,
      protocolVersion: context.protocolVersion,
      transport: undefined,
      address: undefined,
      port: undefined,
      get trace() {
        return trace
      },
      continueTrace: (next) => {
        trace = { ...trace, ...next }
        this.#continued = trace
      },
    }
    upstreamCallStart.publish(this.#call)
  }

  /** The trace context that subscribers want the server to see, if they want any. */
  get trace(): TraceContext | undefined {
    return this.#continued
  }

  /** `params` with that trace context in its `_meta` (SEP-414). */
  traced(params: unknown): unknown {
    const trace = this.#continued
    if (trace === undefined || (params !== undefined && !isRecord(params))) return params
    const meta = params?.['_meta']
    return { ...params, _meta: { ...(isRecord(meta) && meta), ...trace } }
  }

  ended(status: Exclude<CallOutcome['status'], 'refused'>, code: number | string | undefined, bytes: number): void {
    upstreamCallEnd.publish({
      call: this.#call,
      status,
      code,
      bytes,
      durationMs: performance.now() - this.#startedAt,
    })
  }
}

import {
  createTraceState,
  isSpanContextValid,
  type Context,
  ROOT_CONTEXT,
  type SpanContext,
  trace,
} from '@opentelemetry/api'
import type { TraceContext } from '@sallyport/core'

/** A context whose span is the remote one that `incoming` names; the root if it names none. */
export function remoteParent(incoming: TraceContext | undefined): Context {
  const [, traceId = '', spanId = '', flags = ''] = incoming?.traceparent.split('-') ?? []
  const spanContext: SpanContext = {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & 1,
    isRemote: true,
    ...(incoming?.tracestate !== undefined && { traceState: createTraceState(incoming.tracestate) }),
  }
  return isSpanContextValid(spanContext) ? trace.setSpanContext(ROOT_CONTEXT, spanContext) : ROOT_CONTEXT
}

/** How a span is named to whoever goes on with its trace; `undefined` if nothing is recorded here. */
export function continuation(
  { traceId, spanId, traceFlags, traceState }: SpanContext,
  incoming: TraceContext | undefined,
): TraceContext | undefined {
  // without a provider the API hands out the remote parent itself, or zeros
  if (!isSpanContextValid({ traceId, spanId, traceFlags })) return undefined
  if (incoming?.traceparent.split('-')[2] === spanId) return undefined
  const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
  const tracestate = traceState?.serialize() ?? ''
  return tracestate === '' ? { traceparent } : { traceparent, tracestate }
}

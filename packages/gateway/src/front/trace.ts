import type { TraceContext } from '@sallyport/core'
import { isRecord, type RpcMessage } from '../wire/client-message.ts'
import { headerOf, type HttpExchange } from './http-exchange.ts'

/** Trace context of a message: its `_meta` (SEP-414), or the headers of its HTTP request (W3C Trace Context). */
export function traceOf(
  message: RpcMessage | undefined,
  exchange: HttpExchange | undefined,
): TraceContext | undefined {
  const meta = message?.params['_meta']
  if (isRecord(meta) && typeof meta['traceparent'] === 'string') {
    return trace(meta['traceparent'], textOf(meta['tracestate']), textOf(meta['baggage']))
  }
  const traceparent = exchange === undefined ? undefined : headerOf(exchange, 'traceparent')
  if (exchange === undefined || traceparent === undefined) return undefined
  return trace(traceparent, headerOf(exchange, 'tracestate'), headerOf(exchange, 'baggage'))
}

/** Name and value in turn. */
export function traceHeaders(context: TraceContext | undefined): string[] {
  if (context === undefined) return []
  const headers = ['traceparent', context.traceparent]
  if (context.tracestate !== undefined) headers.push('tracestate', context.tracestate)
  if (context.baggage !== undefined) headers.push('baggage', context.baggage)
  return headers
}

const TRACE_HEADERS = new Set(['traceparent', 'tracestate', 'baggage'])

/** Name and value in turn, with the trace context replaced. */
export function withTraceHeaders(headers: readonly string[], context: TraceContext): readonly string[] {
  const others = headers.filter((_, index) => !TRACE_HEADERS.has(headers[index - (index % 2)] ?? ''))
  return [...others, ...traceHeaders(context)]
}

function trace(
  traceparent: string,
  tracestate: string | undefined,
  baggage: string | undefined,
): TraceContext | undefined {
  if (!/^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]*)?$/.test(traceparent))
    return undefined
  return {
    traceparent,
    ...(isHeaderSafe(tracestate) && { tracestate }),
    ...(isHeaderSafe(baggage) && { baggage }),
  }
}

function isHeaderSafe(text: string | undefined): text is string {
  return text !== undefined && /^[\x20-\x7e\t]*$/.test(text) && text.length <= 8_192
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

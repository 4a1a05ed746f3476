import { context, type Span, SpanKind, SpanStatusCode, trace, type Tracer } from '@opentelemetry/api'
import { onGatewayEvent } from '../observe/channels.ts'
import type { GatewayCall, GatewayCallEnd, UpstreamCall, UpstreamCallEnd } from '../observe/events.ts'
import {
  bounded,
  endAttributes,
  errorType,
  peerAttributes,
  spanName,
  targetAttributes,
} from './attributes.ts'
import { continuation, remoteParent } from './trace-parent.ts'

/** Subscribes, and returns the ways to stop. */
export function recordSpans(tracer: Tracer): (() => void)[] {
  const recorder = new SpanRecorder(tracer)
  return [
    onGatewayEvent('sallyport:gateway:call:start', (call) => recorder.startServer(call)),
    onGatewayEvent('sallyport:gateway:call:end', (end) => recorder.endServer(end)),
    onGatewayEvent('sallyport:upstream:call:start', (call) => recorder.startClient(call)),
    onGatewayEvent('sallyport:upstream:call:end', (end) => recorder.endClient(end)),
  ]
}

class SpanRecorder {
  readonly #tracer: Tracer
  readonly #server = new WeakMap<GatewayCall, Span>()
  readonly #client = new WeakMap<UpstreamCall, Span>()

  constructor(tracer: Tracer) {
    this.#tracer = tracer
  }

  startServer(call: GatewayCall): void {
    const { method, era, protocolVersion, sessionId, requestId, remoteAddress } = call
    const parent = remoteParent(call.trace)
    const ambient = trace.getSpan(context.active())?.spanContext()
    // the span of the HTTP request is the parent if the message names none, else it is only related to it
    const isChild = call.trace === undefined && ambient !== undefined
    const span = this.#tracer.startSpan(
      spanName(call),
      {
        kind: SpanKind.SERVER,
        ...(ambient !== undefined && !isChild && { links: [{ context: ambient }] }),
        attributes: {
          'mcp.method.name': bounded(method),
          ...targetAttributes(call),
          ...(requestId !== undefined && { 'jsonrpc.request.id': bounded(String(requestId)) }),
          ...(protocolVersion !== '' && { 'mcp.protocol.version': bounded(protocolVersion) }),
          ...(sessionId !== undefined && { 'mcp.session.id': sessionId }),
          ...(remoteAddress !== undefined && { 'client.address': remoteAddress }),
          'sallyport.era': era,
        },
      },
      isChild ? context.active() : parent,
    )
    this.#server.set(call, span)
    const next = continuation(span.spanContext(), call.trace)
    if (next !== undefined) call.continueTrace(next)
  }

  endServer(end: GatewayCallEnd): void {
    const span = this.#server.get(end.call)
    if (span === undefined) return
    if (end.server !== undefined) span.setAttribute('sallyport.upstream.name', end.server)
    finish(span, end)
  }

  startClient(call: UpstreamCall): void {
    const { method, protocolVersion, era } = call
    const server = call.call === undefined ? undefined : this.#server.get(call.call)
    const parent = remoteParent(call.trace)
    const span = this.#tracer.startSpan(
      spanName(call),
      {
        kind: SpanKind.CLIENT,
        attributes: {
          'mcp.method.name': bounded(method),
          ...targetAttributes(call),
          ...peerAttributes(call),
          ...(protocolVersion !== '' && { 'mcp.protocol.version': bounded(protocolVersion) }),
          'sallyport.era': era,
        },
      },
      server === undefined ? parent : trace.setSpan(parent, server),
    )
    this.#client.set(call, span)
    const next = continuation(span.spanContext(), call.trace)
    if (next !== undefined) call.continueTrace(next)
  }

  endClient(end: UpstreamCallEnd): void {
    const span = this.#client.get(end.call)
    if (span !== undefined) finish(span, end)
  }
}

function finish(span: Span, end: GatewayCallEnd | UpstreamCallEnd): void {
  span.setAttributes(endAttributes(end))
  if (errorType(end.status, end.code) !== undefined) span.setStatus({ code: SpanStatusCode.ERROR })
  span.end()
}

import { type Meter, metrics, trace, type Tracer } from '@opentelemetry/api'
import { version } from '../version.ts'
import { recordDurations } from './durations.ts'
import { recordSpans } from './spans.ts'

export interface OpenTelemetryOptions {
  /** Default: a tracer of the provider that is registered globally. */
  readonly tracer?: Tracer
  /** Default: a meter of the provider that is registered globally. */
  readonly meter?: Meter
}

/** Telemetry of all gateways in this process. */
export interface GatewayTelemetry {
  /** Stops listening. Spans of calls that are open are never ended, so close the gateways first. */
  close(): void
  [Symbol.dispose](): void
}

const SCOPE = '@sallyport/gateway'

/**
 * Spans and metrics by the semantic conventions for MCP (OpenTelemetry semantic-conventions-genai, `docs/gen-ai/mcp.md`, in
 * development): a SERVER span for each request of a client, a CLIENT span for each request to a server, and the durations
 * of both and of sessions.
 *
 * The SERVER span continues the trace that the client sent in `params._meta` (SEP-414) or in headers. The server is sent the
 * CLIENT span's trace context. Of the OpenTelemetry packages only the API is needed; without a provider nothing is recorded
 * and trace contexts pass through as they came.
 */
export function createOpenTelemetry(options: OpenTelemetryOptions = {}): GatewayTelemetry {
  const stops = [
    ...recordSpans(options.tracer ?? trace.getTracer(SCOPE, version)),
    ...recordDurations(options.meter ?? metrics.getMeter(SCOPE, version)),
  ]
  const close = () => {
    for (const stop of stops.splice(0)) stop()
  }
  return { close, [Symbol.dispose]: close }
}

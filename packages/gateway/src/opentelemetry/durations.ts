import type { Histogram, Meter } from '@opentelemetry/api'
import { onGatewayEvent } from '../observe/channels.ts'
import { metricAttributes, peerAttributes } from './attributes.ts'

/** Seconds, as the conventions recommend them for all MCP durations. */
const BOUNDARIES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]

/** Subscribes, and returns the ways to stop. */
export function recordDurations(meter: Meter): (() => void)[] {
  const served = histogram(
    meter,
    'mcp.server.operation.duration',
    'Requests of clients, until they are answered.',
  )
  const called = histogram(meter, 'mcp.client.operation.duration', 'Requests to servers, until they answer.')
  const sessions = histogram(meter, 'mcp.server.session.duration', 'Sessions of clients.')
  return [
    onGatewayEvent('sallyport:gateway:call:end', (end) => {
      // a subscription lasts as long as somebody listens: that is no duration of an operation
      if (end.call.method === 'subscriptions/listen') return
      served.record(end.durationMs / 1_000, {
        ...metricAttributes(end.call, end),
        ...(end.server !== undefined && { 'sallyport.upstream.name': end.server }),
      })
    }),
    onGatewayEvent('sallyport:upstream:call:end', (end) => {
      if (end.call.method === 'subscriptions/listen') return
      called.record(end.durationMs / 1_000, {
        ...metricAttributes(end.call, end),
        ...peerAttributes(end.call),
      })
    }),
    onGatewayEvent('sallyport:gateway:session:ended', ({ session, durationMs }) => {
      sessions.record(durationMs / 1_000, { 'mcp.protocol.version': session.protocolVersion })
    }),
  ]
}

function histogram(meter: Meter, name: string, description: string): Histogram {
  return meter.createHistogram(name, {
    description,
    unit: 's',
    advice: { explicitBucketBoundaries: BOUNDARIES },
  })
}

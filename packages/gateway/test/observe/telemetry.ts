import {
  AggregationTemporality,
  DataPointType,
  type HistogramMetricData,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import {
  InMemorySpanExporter,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import { onTestFinished } from 'vitest'
import { createOpenTelemetry } from '../../src/opentelemetry/index.ts'

export interface RecordedTelemetry {
  readonly spans: () => readonly ReadableSpan[]
  readonly histogram: (name: string) => Promise<HistogramMetricData>
}

/** The gateway's telemetry into the memory of the real SDK, until the test ends. */
export function recordTelemetry(sampler?: Sampler): RecordedTelemetry {
  const spanExporter = new InMemorySpanExporter()
  const tracers = new TracerProvider({
    spanProcessors: [new SimpleSpanProcessor({ exporter: spanExporter })],
    ...(sampler !== undefined && { sampler }),
  })
  const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 60_000 })
  const meters = new MeterProvider({ readers: [reader] })
  const telemetry = createOpenTelemetry({
    tracer: tracers.getTracer('test'),
    meter: meters.getMeter('test'),
  })
  onTestFinished(async () => {
    telemetry.close()
    await tracers.shutdown()
    await meters.shutdown()
  })
  return {
    spans: () => spanExporter.getFinishedSpans(),
    histogram: async (name) => {
      await meters.forceFlush()
      const found = metricExporter
        .getMetrics()
        .at(-1)
        ?.scopeMetrics.flatMap(({ metrics }) => metrics)
        .find(({ descriptor }) => descriptor.name === name)
      if (found?.dataPointType !== DataPointType.HISTOGRAM) throw new Error(`no histogram ${name}`)
      return found
    },
  }
}

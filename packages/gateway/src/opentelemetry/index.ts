// Everything named here is public API.

export {
  createOpenTelemetry,
  type GatewayTelemetry,
  type OpenTelemetryOptions,
} from './create-open-telemetry.ts'

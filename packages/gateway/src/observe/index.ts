// Everything named here is public API.

export { gatewayEventNames, type GatewayEventName, onGatewayEvent } from './channels.ts'
export type {
  GatewayCall,
  GatewayCallEnd,
  GatewayEvents,
  GatewayRefusal,
  GatewaySession,
  GatewaySessionEnd,
  UpstreamBreaker,
  UpstreamCall,
  UpstreamCallEnd,
  UpstreamEra,
  UpstreamProcess,
  UpstreamProcessExit,
  UpstreamState,
} from './events.ts'

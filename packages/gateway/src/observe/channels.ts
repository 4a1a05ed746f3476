import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { GatewayEvents, UpstreamBreaker } from './events.ts'

export type GatewayEventName = keyof GatewayEvents

/** A diagnostics channel that only takes the payload it is documented with. */
class EventChannel<Name extends GatewayEventName> {
  readonly #channel: ReturnType<typeof channel>

  constructor(name: Name) {
    this.#channel = channel(name)
  }

  /** Ask before building a payload: without subscribers an event costs this one look. */
  get hasSubscribers(): boolean {
    return this.#channel.hasSubscribers
  }

  publish(payload: GatewayEvents[Name]): void {
    this.#channel.publish(payload)
  }
}

export const callStart = new EventChannel('sallyport:gateway:call:start')
export const callEnd = new EventChannel('sallyport:gateway:call:end')
export const refusal = new EventChannel('sallyport:gateway:refusal')
export const sessionOpened = new EventChannel('sallyport:gateway:session:opened')
export const sessionEnded = new EventChannel('sallyport:gateway:session:ended')
export const upstreamCallStart = new EventChannel('sallyport:upstream:call:start')
export const upstreamCallEnd = new EventChannel('sallyport:upstream:call:end')
export const upstreamState = new EventChannel('sallyport:upstream:state')
export const upstreamEra = new EventChannel('sallyport:upstream:era')
const upstreamBreaker = new EventChannel('sallyport:upstream:breaker')
export const processStarted = new EventChannel('sallyport:upstream:process:started')
export const processExited = new EventChannel('sallyport:upstream:process:exited')

/** For whoever keeps a circuit breaker: costs one look if nobody listens. */
export function publishBreaker(
  server: string,
  state: UpstreamBreaker['state'],
  code: string | undefined,
): void {
  if (upstreamBreaker.hasSubscribers) upstreamBreaker.publish({ server, state, code })
}

/** Every channel there is, for subscribers that take all of them. */
export const gatewayEventNames: readonly GatewayEventName[] = [
  'sallyport:gateway:call:start',
  'sallyport:gateway:call:end',
  'sallyport:gateway:refusal',
  'sallyport:gateway:session:opened',
  'sallyport:gateway:session:ended',
  'sallyport:upstream:call:start',
  'sallyport:upstream:call:end',
  'sallyport:upstream:state',
  'sallyport:upstream:era',
  'sallyport:upstream:breaker',
  'sallyport:upstream:process:started',
  'sallyport:upstream:process:exited',
]

/**
 * Listens to one channel, with its payload typed; returns the way to stop. `diagnostics_channel.subscribe` does as well.
 * Channels belong to the process: all gateways in it are heard. The listener runs in the middle of the gateway's work: it
 * must be quick, and what it throws becomes an uncaught exception of the process.
 */
export function onGatewayEvent<Name extends GatewayEventName>(
  name: Name,
  listener: (event: GatewayEvents[Name]) => void,
): () => void {
  const onMessage = (message: unknown) => {
    if (isEvent(name, message)) listener(message)
  }
  subscribe(name, onMessage)
  return () => void unsubscribe(name, onMessage)
}

/** Only this package publishes on its channels, with payloads that the compiler has checked. */
function isEvent<Name extends GatewayEventName>(
  _name: Name,
  message: unknown,
): message is GatewayEvents[Name] {
  return typeof message === 'object' && message !== null
}

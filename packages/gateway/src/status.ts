import type { GatewayCore } from './gateway-core.ts'
import type { UpstreamStatus } from './upstream/upstream-status.ts'
import { version } from './version.ts'

/** A gateway at one moment, for people who look at it and for programs that watch it. It holds no secrets, and can be JSON. */
export interface GatewayStatus {
  /** Version of this package. */
  readonly version: string
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly state: 'open' | 'closing' | 'closed'
  /** Requests of clients without an answer yet. */
  readonly openCalls: number
  /** Subscriptions of the modern era; they are no open calls. */
  readonly subscriptions: number
  readonly upstreams: readonly UpstreamStatus[]
  readonly sessions: SessionsStatus
  /** Lists of servers that are kept for all callers together. */
  readonly lists: { readonly entries: number; readonly characters: number }
}

/** Sessions of the legacy era; the modern era has none. */
export interface SessionsStatus {
  readonly total: number
  /** With all servers at once. */
  readonly aggregated: number
  /** With one server alone, by its name; with a toolset, as `toolsets/<name>`. */
  readonly byServer: Readonly<Record<string, number>>
  /** Event streams that clients are connected to now. */
  readonly streams: number
  /** Bytes of events that are kept for clients that come back. */
  readonly keptBytes: number
}

export function statusOf(core: GatewayCore): GatewayStatus {
  const subscriptions = core.openFlows.keys().filter((flow) => flow.endless).length
  return {
    version,
    at: core.trail.now(),
    state: core.closed ? 'closed' : core.draining ? 'closing' : 'open',
    openCalls: core.openFlows.size - subscriptions,
    subscriptions,
    upstreams: core.upstreams.all().map((upstream) => upstream.status()),
    sessions: sessionsOf(core),
    lists: core.catalog.kept,
  }
}

function sessionsOf({ sessions }: GatewayCore): SessionsStatus {
  let [aggregated, streams, keptBytes] = [0, 0, 0]
  const byServer = new Map<string, number>()
  for (const session of sessions.all()) {
    if (session.endpoint === undefined) aggregated++
    else byServer.set(session.endpoint, (byServer.get(session.endpoint) ?? 0) + 1)
    const load = session.streamLoad
    streams += load.attached
    keptBytes += load.keptBytes
  }
  return { total: sessions.size, aggregated, byServer: Object.fromEntries(byServer), streams, keptBytes }
}

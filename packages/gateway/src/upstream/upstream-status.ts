import { upstreamEra } from '../observe/channels.ts'
import type { UpstreamBreaker } from '../observe/events.ts'
import type { EraVerdict } from './era.ts'
import type { HttpLoad } from './http-client.ts'
import type { ProcessStatus } from './process-status.ts'
import type { LastError } from './reachability.ts'

/** One server as the gateway sees it now. It names no argument, variable, header or path: those may hold secrets. */
export interface UpstreamStatus {
  readonly name: string
  readonly kind: 'stdio' | 'http'
  /** Scheme, host and port of a server that is reached over HTTP. */
  readonly origin: string | undefined
  /** `undefined` before anything was heard of it, and as long as nobody has needed it. */
  readonly reachable: boolean | undefined
  /** The last thing that went wrong, even if all is well again. */
  readonly lastError: LastError | undefined
  /** What it said it speaks; absent as long as it has not said. */
  readonly era: EraStatus | undefined
  /** Absent where no circuit breaker watches the server. */
  readonly breaker: UpstreamBreaker['state'] | undefined
  readonly processes: readonly ProcessStatus[]
  readonly http: HttpLoad | undefined
}

export interface EraStatus {
  /** Versions of the modern era; absent if it speaks none. */
  readonly modern: readonly string[] | undefined
  /** Versions of the legacy era; a server of the modern era is not asked until a legacy client comes, and may refuse then. */
  readonly legacy: readonly string[] | 'untried' | 'refused'
  readonly transport: 'stdio' | 'streamable-http' | 'sse'
  readonly ageMs: number
}

/** A verdict as it is shown. */
export function versionsOf({ modern, legacy, legacyTransport }: EraVerdict): Omit<EraStatus, 'ageMs'> {
  return {
    modern: modern?.versions,
    legacy: legacy === 'untried' ? legacy : 'refusedAt' in legacy ? 'refused' : legacy.versions,
    transport: legacyTransport,
  }
}

/** Tells subscribers what a server speaks. */
export function publishEra(server: string, before: EraVerdict | undefined, found: EraVerdict): void {
  if (!upstreamEra.hasSubscribers) return
  const said = versionsOf(found)
  const changed = before !== undefined && JSON.stringify(versionsOf(before)) !== JSON.stringify(said)
  upstreamEra.publish({ server, ...said, changed })
}

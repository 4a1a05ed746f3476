import type { Contender } from '../measure/bench.ts'
import type { PathName } from '../paths/path.ts'
import type { UpstreamKind } from '../upstreams/upstream-kinds.ts'

/** A path under its own name, between legacy clients and legacy servers: what every peer knows. */
export function contender(name: PathName, upstream: UpstreamKind): Contender {
  return { label: name, name, upstream, era: 'legacy' }
}

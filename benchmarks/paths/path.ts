import type { TokenSigning } from '../load/bearer-token.ts'
import type { Dialect } from '../load/session.ts'
import type { UpstreamKind } from '../upstreams/upstream-kinds.ts'

export const pathNames = [
  'direct',
  'bare-proxy',
  'stream-proxy',
  'sallyport',
  'sdk-pair',
  'mcp-proxy',
  'supergateway',
  'mcp-hub',
  'civic',
] as const
export type PathName = (typeof pathNames)[number]

/** A way for a call to get from the generator to an upstream. */
export interface PathRequest {
  name: PathName
  upstream: UpstreamKind
  era: 'legacy' | 'modern'
}

/** A path that serves. */
export interface RunningPath {
  /** Where the calls go; for a gateway, its endpoint for the first server. */
  url: string
  /** The endpoint of all its servers together, where it has one. */
  aggregatedUrl?: string
  /** The endpoint of each server, where it has those. */
  serverUrls?: Readonly<Record<string, string>>
  dialect: Dialect
  tokens?: TokenSigning
  processId: number
  /** From the start of the process to the first answer. */
  startMs: number
  stop(): Promise<void>
}

export function keyOf({ name, upstream, era }: PathRequest): string {
  return `${name}.${upstream}.${era}`
}

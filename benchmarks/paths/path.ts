import type { Dialect } from '../load/session.ts'
import type { TokenSigning } from '../load/bearer-token.ts'

export const pathNames = [
  'direct',
  'bare-proxy',
  'sallyport',
  'mcp-proxy',
  'supergateway',
  'mcp-hub',
] as const
export type PathName = (typeof pathNames)[number]

/** A way for a call to get from the generator to an upstream. */
export interface PathRequest {
  name: PathName
  upstream: 'http' | 'stdio'
  era: 'legacy' | 'modern'
}

/** A path that serves. */
export interface RunningPath {
  /** Where the calls go; for a gateway, its endpoint for this one server. */
  url: string
  /** The endpoint of all its servers together, where it has one. */
  aggregatedUrl?: string
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

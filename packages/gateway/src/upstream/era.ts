import type { SallyportError } from '@sallyport/core'

/** What a server says of itself, by `initialize` or `server/discover`. */
export interface ServerFacts {
  readonly versions: readonly string[]
  readonly capabilities: Readonly<Record<string, unknown>>
  readonly instructions: string | undefined
}

/** Which eras a server speaks, found by asking it. */
export interface EraVerdict {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly modern: ServerFacts | undefined
  /** A server of the modern era is not asked whether it speaks the legacy one as well: its first session will tell. */
  readonly legacy: ServerFacts | 'untried'
  readonly legacyTransport: 'stdio' | 'streamable-http' | 'sse'
}

export type EraAnswer = EraVerdict | SallyportError

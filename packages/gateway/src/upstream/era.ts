import { type SallyportError, UpstreamError } from '@sallyport/core'

/** What a server says of itself, by `initialize` or `server/discover`. */
export interface ServerFacts {
  readonly versions: readonly string[]
  readonly capabilities: Readonly<Record<string, unknown>>
  readonly instructions: string | undefined
  /** Name and version as the server gave them. */
  readonly serverInfo: Readonly<Record<string, unknown>> | undefined
}

/** Which eras a server speaks, found by asking it. */
export interface EraVerdict {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly modern: ServerFacts | undefined
  /**
   * A server of the modern era is not asked whether it speaks the legacy one as well: its first session will tell. If it
   * refuses that, its legacy clients are translated for until it is tried again.
   */
  readonly legacy: ServerFacts | 'untried' | LegacyRefusal
  readonly legacyTransport: 'stdio' | 'streamable-http' | 'sse'
}

/** The server answered `initialize` with an error, or not at all. */
export interface LegacyRefusal {
  /** Milliseconds since the epoch. */
  readonly refusedAt: number
}

/** What the server offers to a client of the legacy era: the same in both eras, as far as anybody can know before trying. */
export function legacyFacts({ legacy, modern }: EraVerdict): ServerFacts | undefined {
  return legacy === 'untried' || 'refusedAt' in legacy ? modern : legacy
}

/** What it offers to a client of the modern era, which is translated for if the server does not speak that. */
export function modernFacts(verdict: EraVerdict): ServerFacts | undefined {
  return verdict.modern ?? legacyFacts(verdict)
}

export type EraAnswer = EraVerdict | SallyportError

/** What the server says, or an error to whoever has waited so long; a process that takes longer to start goes on starting. */
export async function answerWithin(
  ms: number,
  server: string,
  answer: Promise<EraAnswer>,
): Promise<EraAnswer> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<SallyportError>((resolve) => {
    timer = setTimeout(() => resolve(tooSlow(server)), ms).unref()
  })
  const first = await Promise.race([answer, late])
  clearTimeout(timer)
  return first
}

/** For a call that has waited long enough for a server that may come up yet. */
export function tooSlow(server: string): UpstreamError {
  return new UpstreamError('ERR_UPSTREAM_TIMEOUT', server, 'takes long to start', { retrySafe: true })
}

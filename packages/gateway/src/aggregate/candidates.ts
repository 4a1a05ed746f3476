import { type ProtocolEra, SallyportError } from '@sallyport/core'
import type { EraVerdict } from '../upstream/era.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** Whether a server is to be asked: `unknown` if it has to be asked for its era first. */
export function suits(upstream: Upstream, era: ProtocolEra, capability: string): boolean | 'unknown' {
  const verdict = upstream.knownEra
  return verdict === undefined ? 'unknown' : declares(verdict, era, capability)
}

/** The same, with waiting. A server that cannot be reached is an error; it is not "has no such thing". */
export async function suitsAfterAsking(
  upstream: Upstream,
  era: ProtocolEra,
  capability: string,
): Promise<boolean | SallyportError> {
  const verdict = upstream.knownEra ?? (await upstream.era())
  return SallyportError.isInstance(verdict) ? verdict : declares(verdict, era, capability)
}

function declares(verdict: EraVerdict, era: ProtocolEra, capability: string): boolean {
  if (era === 'modern') return verdict.modern !== undefined && capability in verdict.modern.capabilities
  // a server that speaks both eras offers the same in both, as far as anybody can know before trying
  const facts = verdict.legacy === 'untried' ? verdict.modern : verdict.legacy
  return facts !== undefined && capability in facts.capabilities
}

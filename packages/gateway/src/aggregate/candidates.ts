import { type ProtocolEra, type RequestContext, SallyportError, UpstreamError } from '@sallyport/core'
import { type EraAnswer, type EraVerdict, legacyFacts, modernFacts } from '../upstream/era.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** Whether a server is to be asked: `unknown` if it has to be asked for its era first. */
export function suits(upstream: Upstream, era: ProtocolEra, capability: string): boolean | 'unknown' {
  const verdict = upstream.knownEra
  return verdict === undefined ? 'unknown' : declares(verdict, era, capability)
}

/** The same, with waiting. A server that cannot be reached is an error; it is not "has no such thing". */
export async function suitsAfterAsking(
  upstream: Upstream,
  context: RequestContext,
  capability: string,
  waitMs?: number,
): Promise<boolean | SallyportError> {
  const verdict = upstream.knownEra ?? (await eraWithin(upstream, context, waitMs))
  return SallyportError.isInstance(verdict) ? verdict : declares(verdict, context.era, capability)
}

/**
 * What a server speaks, or an error if it has not said so `waitMs` after it was asked, by whomever: a server that never
 * answers holds up one request, not each.
 */
export async function eraWithin(
  upstream: Upstream,
  context: RequestContext,
  waitMs = Number.POSITIVE_INFINITY,
): Promise<EraAnswer> {
  const asked = upstream.era(context)
  if (waitMs === Number.POSITIVE_INFINITY) return asked
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<SallyportError>((resolve) => {
    const tooSlow = new UpstreamError('ERR_UPSTREAM_TIMEOUT', upstream.name, 'does not say what it speaks', {
      retrySafe: true,
    })
    timer = setTimeout(() => resolve(tooSlow), Math.max(0, waitMs - upstream.askedForMs(context)))
  })
  const answer = await Promise.race([asked, late])
  clearTimeout(timer)
  return answer
}

function declares(verdict: EraVerdict, era: ProtocolEra, capability: string): boolean {
  const facts = era === 'modern' ? modernFacts(verdict) : legacyFacts(verdict)
  return facts !== undefined && capability in facts.capabilities
}

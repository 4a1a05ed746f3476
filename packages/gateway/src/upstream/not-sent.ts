import { type SallyportError, UpstreamError } from '@sallyport/core'
import { BlamelessError } from './blameless-error.ts'

/**
 * What went wrong before a call could be sent (a handshake, the question what a server speaks), as told to that call: it has
 * not run, so making it again is safe.
 *
 * @param laterMs when it can make a difference at the earliest, if the error does not say that itself
 */
export function notSent(error: SallyportError, laterMs?: number): SallyportError {
  if (!(error instanceof UpstreamError)) return error
  const { code, server, detail, retryAfterMs = laterMs, cause } = error
  const Kind = error instanceof BlamelessError ? BlamelessError : UpstreamError
  return new Kind(code, server, detail, { cause, retrySafe: true, retryAfterMs })
}

import { type SallyportError, UpstreamError } from '@sallyport/core'
import { BlamelessError } from './blameless-error.ts'

/**
 * What went wrong before a call could be sent (a handshake, the question what a server speaks), as told to that call: it has
 * not run, so making it again is safe.
 */
export function notSent(error: SallyportError): SallyportError {
  if (!(error instanceof UpstreamError) || error.retrySafe) return error
  const { code, server, retryAfterMs, cause } = error
  const message = error.message.replace(`server "${server}": `, '')
  const Kind = error instanceof BlamelessError ? BlamelessError : UpstreamError
  return new Kind(code, server, message, { cause, retrySafe: true, retryAfterMs })
}

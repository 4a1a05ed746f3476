import { type SallyportError, UpstreamError } from '@sallyport/core'

/** A call failed, but not because its server is unwell: a limit was met, the caller was refused, the gateway let go of it. */
export class BlamelessError extends UpstreamError {
  override name = 'UpstreamError'
}

/** What happened, for a sentence that has named the server already. */
export function detailOf(error: SallyportError): string {
  return error instanceof UpstreamError ? error.detail : error.message
}

/** What counts against a server. */
export function isFaultOfServer(error: SallyportError): boolean {
  if (error instanceof BlamelessError) return false
  switch (error.code) {
    case 'ERR_UPSTREAM_UNAVAILABLE':
    case 'ERR_UPSTREAM_TIMEOUT':
    case 'ERR_UPSTREAM_PROTOCOL':
      return true
    default:
      return false
  }
}

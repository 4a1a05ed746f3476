import { UpstreamError } from '@sallyport/core'
import { BlamelessError } from './blameless-error.ts'
import { type HttpHeaders, oneHeader } from './http-client.ts'

/**
 * What an HTTP status without a JSON-RPC answer means for a call. 429 and 5xx that name no fault of the request are about the
 * server's health; other 4xx are about this one caller or call, and do not count against it.
 */
export function httpFailure(server: string, status: number, retryAfterMs: number | undefined): UpstreamError {
  const message = `answered HTTP ${status}`
  switch (status) {
    case 429:
      // refused for now, so it has not run (RFC 6585 section 4)
      return new BlamelessError('ERR_UPSTREAM_UNAVAILABLE', server, message, {
        retrySafe: true,
        retryAfterMs,
      })
    case 502:
    case 503:
    case 504:
      // a proxy says so too when it lost a server that was at work already
      return new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', server, message, { retryAfterMs })
    default:
      return status >= 400 && status < 500
        ? new BlamelessError('ERR_UPSTREAM_PROTOCOL', server, message)
        : new UpstreamError('ERR_UPSTREAM_PROTOCOL', server, message)
  }
}

/** Milliseconds that a server asks to be left alone for (RFC 9110 section 10.2.3); absent if it does not say so. */
export function retryAfterOf(status: number, headers: HttpHeaders): number | undefined {
  if (status < 400) return undefined
  const value = oneHeader(headers, 'retry-after')
  if (value === undefined) return undefined
  const ms = /^\d{1,7}$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now()
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined
}

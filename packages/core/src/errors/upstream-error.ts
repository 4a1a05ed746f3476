import { SallyportError } from './sallyport-error.ts'

/** What went wrong between the gateway and an MCP server. */
export type UpstreamErrorCode =
  | 'ERR_UPSTREAM_ERA'
  | 'ERR_UPSTREAM_PROTOCOL'
  | 'ERR_UPSTREAM_TIMEOUT'
  | 'ERR_UPSTREAM_UNAVAILABLE'

/** An MCP server that could not be reached, did not answer, or answered something that is not MCP. */
export class UpstreamError extends SallyportError {
  readonly code: UpstreamErrorCode
  /** Name of the server in the registry. */
  readonly server: string
  /** What happened, without the name of the server. */
  readonly detail: string
  /** True where the server cannot have begun to work on the call, so that sending it again is safe. */
  readonly retrySafe: boolean
  /** Milliseconds after which another attempt may do better; absent where that is not known. */
  readonly retryAfterMs: number | undefined

  constructor(
    code: UpstreamErrorCode,
    server: string,
    message: string,
    options: { cause?: unknown; retrySafe?: boolean; retryAfterMs?: number | undefined } = {},
  ) {
    super(`server "${server}": ${message}`, options)
    this.code = code
    this.server = server
    this.detail = message
    this.retrySafe = options.retrySafe ?? false
    this.retryAfterMs = options.retryAfterMs
  }
}

import { SallyportError } from './sallyport-error.ts'

/** Why the gateway itself did not let a message through. */
export type GatewayErrorCode =
  | 'ERR_PROTOCOL'
  | 'ERR_UNAUTHENTICATED'
  | 'ERR_FORBIDDEN'
  | 'ERR_AUDIT_UNAVAILABLE'
  | 'ERR_CONSENT_REQUIRED'
  | 'ERR_LIMIT_EXCEEDED'
  | 'ERR_SHUTTING_DOWN'
  | 'ERR_ANSWER_LOST'

/** A message that the gateway refused, or could not carry out, on its own account. */
export class GatewayError extends SallyportError {
  readonly code: GatewayErrorCode
  /** Facts that the caller may be shown, such as the limit that was passed or the URL to consent at. */
  readonly data: Readonly<Record<string, unknown>> | undefined

  constructor(
    code: GatewayErrorCode,
    message: string,
    options: { cause?: unknown; data?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message, options)
    this.code = code
    this.data = options.data
  }
}

/** Every code that an error of this project can carry. Codes are stable; messages are not. */
export type ErrorCode =
  | 'ERR_CONFIG'
  | 'ERR_PROTOCOL'
  | 'ERR_UNAUTHENTICATED'
  | 'ERR_FORBIDDEN'
  | 'ERR_AUDIT_UNAVAILABLE'
  | 'ERR_CONSENT_REQUIRED'
  | 'ERR_LIMIT_EXCEEDED'
  | 'ERR_SHUTTING_DOWN'
  | 'ERR_ANSWER_LOST'
  | 'ERR_STORAGE_UNAVAILABLE'
  | 'ERR_UPSTREAM_ERA'
  | 'ERR_UPSTREAM_PROTOCOL'
  | 'ERR_UPSTREAM_TIMEOUT'
  | 'ERR_UPSTREAM_UNAVAILABLE'

/**
 * A brand shared through the global symbol registry, so that `isInstance` also recognises an error
 * made by another installed copy of this package, where `instanceof` does not.
 */
const brand: unique symbol = Symbol.for('@sallyport/error')

/**
 * Base of every error thrown by a Sallyport package. Its message never holds a token, a secret, a
 * cookie or a message body.
 */
export abstract class SallyportError extends Error {
  abstract readonly code: ErrorCode
  readonly [brand] = true

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
  }

  static isInstance(value: unknown): value is SallyportError {
    return typeof value === 'object' && value !== null && brand in value && value[brand] === true
  }
}

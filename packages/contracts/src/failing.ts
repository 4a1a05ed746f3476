import { StorageUnavailableError } from '@sallyport/core'
import { wrapMethods } from './wrap-methods.ts'

export interface FailingOptions<P> {
  /** The methods that fail (default: all). Leave out those that return no promise, such as `watch`. */
  readonly only?: readonly (keyof P)[]
  /** Asked before each call (default: always fail). */
  readonly when?: () => boolean
  /** Default: a `StorageUnavailableError`, as a dead backend raises it. */
  readonly error?: () => unknown
  /** Throw instead of returning a promise that rejects. */
  readonly synchronously?: boolean
}

/** The port with a backend that is dead, or dies when told to. */
export function failing<P extends object>(port: P, options: FailingOptions<P> = {}): P {
  const {
    only,
    when = () => true,
    error = () => new StorageUnavailableError('the backend is dead'),
  } = options
  const names: readonly PropertyKey[] | undefined = only
  return wrapMethods(port, (method, call) => {
    if ((names !== undefined && !names.includes(method)) || !when()) return call()
    if (options.synchronously === true) throw error()
    return Promise.reject(error())
  })
}

import { setTimeout as sleep } from 'node:timers/promises'
import { wrapMethods } from './wrap-methods.ts'

export interface DelayedOptions<P> {
  /** The methods that are slow (default: all). Leave out those that return no promise, such as `watch`. */
  readonly only?: readonly (keyof P)[]
  /** How to wait (default: real time); `createFakeClock().sleep` waits in a test's own time. */
  readonly sleep?: (ms: number) => Promise<unknown>
}

/** The port with a backend that takes its time: each call runs `ms` milliseconds after it was made. */
export function delayed<P extends object>(port: P, ms: number, options: DelayedOptions<P> = {}): P {
  const names: readonly PropertyKey[] | undefined = options.only
  const wait = options.sleep ?? sleep
  return wrapMethods(port, (method, call) => {
    if (names !== undefined && !names.includes(method)) return call()
    return wait(ms).then(call)
  })
}

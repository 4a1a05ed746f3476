import type { Logger, SallyportError, UpstreamError } from '@sallyport/core'
import { ExponentialBackoff, type IBackoff, type IBackoffFactory, noJitterGenerator } from 'cockatiel'
import { BlamelessError, detailOf } from './blameless-error.ts'

export interface RestartBackoffOptions {
  readonly server: string
  /** Time until the next start, once starts have become suspicious; doubled each time. */
  readonly firstMs: number
  readonly longestMs: number
  readonly logger: Logger
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** One crash is an accident: the process is started again at once. */
const FREE_RESTARTS = 2
/** A process that has run for so long does not crash in a loop. */
const STEADY_MS = 10_000

/**
 * Keeps the processes of one server from being started over and over. Counted are those in a row that ended by themselves,
 * soon after their start, and without having answered a single call.
 */
export class RestartBackoff {
  readonly #options: RestartBackoffOptions
  readonly #waits: IBackoffFactory<unknown>
  #wait: IBackoff<unknown> | undefined
  #crashes = 0
  #notBefore = 0
  #reason = ''

  constructor(options: RestartBackoffOptions) {
    const { firstMs, longestMs } = options
    this.#options = options
    this.#waits = new ExponentialBackoff({
      generator: noJitterGenerator,
      initialDelay: firstMs,
      maxDelay: longestMs,
    })
  }

  /** Why no process may be started now; `undefined` if one may. */
  get refusal(): UpstreamError | undefined {
    const { server, now } = this.#options
    const restMs = this.#notBefore - now()
    if (restMs <= 0) return undefined
    const message = `keeps ending before it has answered a call: ${this.#reason}; it is started again later`
    const options = { retrySafe: true, retryAfterMs: restMs }
    return new BlamelessError('ERR_UPSTREAM_UNAVAILABLE', server, message, options)
  }

  /** A process ended by itself, or could not be started. */
  crashed(error: SallyportError, ranMs: number, hasServed: boolean): void {
    const { server, now, logger } = this.#options
    if (hasServed || ranMs >= STEADY_MS) {
      this.steady()
      return
    }
    this.#crashes++
    if (this.#crashes <= FREE_RESTARTS) return
    const wait = (this.#wait ?? this.#waits).next(undefined)
    this.#wait = wait
    this.#reason = detailOf(error)
    this.#notBefore = now() + wait.duration
    const level = this.#crashes === FREE_RESTARTS + 1 ? 'warn' : 'debug'
    logger[level]('server keeps ending soon after its start', { server, restartMs: wait.duration })
  }

  /** A process did what it is there for. */
  steady(): void {
    this.#crashes = 0
    this.#wait = undefined
    this.#notBefore = 0
  }
}

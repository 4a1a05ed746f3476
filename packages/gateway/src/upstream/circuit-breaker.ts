import { type SallyportError, UpstreamError } from '@sallyport/core'
import {
  ConsecutiveBreaker,
  ExponentialBackoff,
  type IBackoff,
  type IBackoffFactory,
  noJitterGenerator,
} from 'cockatiel'
import { publishBreaker } from '../observe/channels.ts'
import type { UpstreamBreaker } from '../observe/events.ts'
import { BlamelessError, detailOf, isFaultOfServer } from './blameless-error.ts'

export interface CircuitBreakerOptions {
  readonly server: string
  /** Failures with no success in between after which the circuit opens. */
  readonly failures: number
  /** How long it stays open the first time; doubled each time that the attempt which follows fails. */
  readonly firstMs: number
  readonly longestMs: number
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/**
 * Leaves a server alone that keeps failing: calls are refused at once, instead of waiting for what will not come. After a
 * while one call is let through (half-open), and how it ends decides.
 *
 * cockatiel counts and grows the waiting time. Its policy object is not used: it wants each call as a function that returns a
 * promise, and the gateway has neither (docs/decisions/0011).
 */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions
  readonly #counter: ConsecutiveBreaker
  readonly #waits: IBackoffFactory<unknown>
  #wait: IBackoff<unknown> | undefined
  #openUntil = 0
  /** The call that was let through to see whether the server is back. */
  #trial: object | undefined
  #trialSince = 0
  #lastFailure: SallyportError | undefined

  constructor(options: CircuitBreakerOptions) {
    const { failures, firstMs, longestMs } = options
    this.#options = options
    this.#counter = new ConsecutiveBreaker(failures)
    this.#waits = new ExponentialBackoff({
      generator: noJitterGenerator,
      initialDelay: firstMs,
      maxDelay: longestMs,
    })
  }

  /** Why no call can be made now; `undefined` if one can. Changes nothing. */
  get refusal(): UpstreamError | undefined {
    if (this.#wait === undefined) return undefined
    const restMs = this.#openUntil - this.#options.now()
    if (restMs <= 0 && !this.#isTrying) return undefined
    const { server } = this.#options
    const why = this.#lastFailure === undefined ? 'it failed' : detailOf(this.#lastFailure)
    return new BlamelessError(
      'ERR_UPSTREAM_UNAVAILABLE',
      server,
      `is left alone for a while, because it keeps failing: ${why}`,
      // while a trial is under way nobody knows how long it takes
      { retrySafe: true, retryAfterMs: restMs > 0 ? restMs : this.#options.firstMs },
    )
  }

  get state(): UpstreamBreaker['state'] {
    if (this.#wait === undefined) return 'closed'
    return this.#trial === undefined ? 'open' : 'half-open'
  }

  /** One that takes long says nothing: after a while the next call is let through as well. */
  get #isTrying(): boolean {
    return this.#trial !== undefined && this.#options.now() - this.#trialSince < this.#options.firstMs
  }

  /** Asks for leave to make this call. With the circuit half-open, the first one that asks gets it. */
  admit(call: object): UpstreamError | undefined {
    if (this.#wait === undefined) return undefined
    const { refusal } = this
    if (refusal === undefined) {
      this.#trial = call
      this.#trialSince = this.#options.now()
      publishBreaker(this.#options.server, 'half-open', undefined)
    }
    return refusal
  }

  /** The call is over: with an answer, whatever it said, or with an error. */
  ended(call: object, error: SallyportError | undefined): void {
    if (error === undefined) this.succeeded()
    else if (isFaultOfServer(error)) this.failed(call, error)
    else this.undecided(call)
  }

  /** The server answered, whatever it said. */
  succeeded(): void {
    this.#counter.success()
    if (this.#wait === undefined) return
    this.#wait = undefined
    this.#trial = undefined
    this.#lastFailure = undefined
    publishBreaker(this.#options.server, 'closed', undefined)
  }

  /** True if this opened the circuit. */
  failed(call: object, error: SallyportError): boolean {
    // a process that ends fails all that it worked on with one error: that is one failure
    const isNews = error !== this.#lastFailure
    this.#lastFailure = error
    if (this.#wait !== undefined) {
      // calls from before the circuit opened say nothing new
      if (this.#trial !== call) return false
    } else if (!isNews || !this.#counter.failure()) return false
    this.#trial = undefined
    const wait = (this.#wait ?? this.#waits).next(undefined)
    this.#wait = wait
    this.#openUntil = this.#options.now() + Math.max(wait.duration, retryAfter(error))
    publishBreaker(this.#options.server, 'open', error.code)
    return true
  }

  /** The call ended in a way that says nothing about the server. */
  undecided(call: object): void {
    if (this.#trial === call) this.#trial = undefined
  }
}

/** A server that asks for patience gets it, within reason. */
const LONGEST_ASKED_MS = 60_000

function retryAfter(error: SallyportError): number {
  const { retryAfterMs } = error instanceof UpstreamError ? error : { retryAfterMs: 0 }
  return Math.min(retryAfterMs ?? 0, LONGEST_ASKED_MS)
}

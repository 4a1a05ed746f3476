import { type Logger, type RetryDefinition, SallyportError, UpstreamError } from '@sallyport/core'
import { ExponentialBackoff } from 'cockatiel'
import type { Flow, FlowGuard } from '../call/flow.ts'
import type { GatewayLimits } from '../gateway-options.ts'
import { BlamelessError, isFaultOfServer } from './blameless-error.ts'
import { CircuitBreaker } from './circuit-breaker.ts'

export interface UpstreamGuardOptions {
  readonly server: string
  readonly limits: GatewayLimits
  readonly retry: RetryDefinition | undefined
  readonly logger: Logger
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** Longer than this a caller is not kept waiting for another attempt; it is told when to come back. */
const LONGEST_PAUSE_MS = 2_000
const SHORTEST_PAUSE_MS = 100

/**
 * Stands between callers and one server: no more calls at a time than the server may have, none while it keeps failing, and a
 * second attempt where that is allowed. An ordinary call costs two counters; nothing is allocated for it.
 */
export class UpstreamGuard implements FlowGuard {
  readonly breaker: CircuitBreaker
  readonly #options: UpstreamGuardOptions
  /** Calls that wait for their turn, and when that becomes too long, in the order in which they came. */
  readonly #queue = new Map<Flow, number>()
  readonly #pauses = new ExponentialBackoff({ initialDelay: SHORTEST_PAUSE_MS, maxDelay: LONGEST_PAUSE_MS })
  #open = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: UpstreamGuardOptions) {
    const { server, limits, now } = options
    this.#options = options
    this.breaker = new CircuitBreaker({
      server,
      failures: limits.breakerFailures,
      firstMs: limits.breakerMs,
      longestMs: limits.longestBreakerMs,
      now,
    })
  }

  /** Sends the call, or lets it wait, or refuses it. */
  send(flow: Flow): void {
    // a subscription is open for ever, and whoever listens comes back by itself
    if (flow.endless) {
      flow.dispatch()
      return
    }
    if (this.#open < this.#options.limits.callsPerServer && this.#queue.size === 0) this.#start(flow)
    else this.#wait(flow)
  }

  settled(flow: Flow): void {
    if (this.#queue.size > 0 && this.#queue.delete(flow)) return
    this.#open--
    const { failure } = flow
    if (flow.answered) this.breaker.succeeded()
    else if (failure === undefined || !isFaultOfServer(failure)) this.breaker.undecided(flow)
    else this.#failed(flow, failure)
    if (this.#queue.size > 0) this.#next()
  }

  takesOver(flow: Flow, error: unknown): boolean {
    const { retry } = this.#options
    if (retry === undefined || flow.repeatable === undefined || flow.wasHeard || this.#queue.has(flow))
      return false
    if (!SallyportError.isInstance(error) || !isWorthRepeating(error)) return false
    if (flow.repeats >= (retry.attempts ?? 1)) return false
    const pauseMs = this.#pauseMs(error, flow.repeats)
    if (pauseMs === undefined) return false
    flow.repeats++
    this.#failed(flow, error)
    flow.carrier = undefined
    setTimeout(() => void this.#repeat(flow, error), pauseMs)
    return true
  }

  #start(flow: Flow): void {
    const refusal = this.breaker.admit(flow)
    if (refusal !== undefined) {
      flow.fail(refusal)
      return
    }
    this.#open++
    flow.guard = this
    flow.dispatch()
  }

  #wait(flow: Flow): void {
    const { server, limits, now } = this.#options
    const { refusal } = this.breaker
    if (refusal !== undefined) {
      flow.fail(refusal)
      return
    }
    if (this.#queue.size >= limits.queuedCallsPerServer) {
      const message = `is busy: ${limits.callsPerServer} calls are open and ${this.#queue.size} wait`
      flow.fail(this.#busy(server, message))
      return
    }
    flow.guard = this
    this.#queue.set(flow, now() + limits.queueMs)
    if (this.#timer === undefined) this.#expireIn(limits.queueMs)
  }

  /** Lets those in whose turn it is. */
  #next(): void {
    for (const flow of this.#queue.keys()) {
      if (this.#open >= this.#options.limits.callsPerServer) return
      this.#queue.delete(flow)
      flow.guard = undefined
      this.#start(flow)
    }
  }

  #expireIn(ms: number): void {
    this.#timer = setTimeout(() => this.#expire(), ms)
    this.#timer.unref()
  }

  #expire(): void {
    this.#timer = undefined
    const { server, limits, now } = this.#options
    for (const [flow, deadline] of this.#queue) {
      const restMs = deadline - now()
      if (restMs > 0) {
        this.#expireIn(restMs)
        return
      }
      const message = `is busy: ${limits.callsPerServer} calls have been open for ${limits.queueMs} ms`
      flow.fail(this.#busy(server, message))
    }
  }

  #busy(server: string, message: string): UpstreamError {
    const { queueMs } = this.#options.limits
    return new BlamelessError('ERR_UPSTREAM_UNAVAILABLE', server, message, {
      retrySafe: true,
      retryAfterMs: queueMs,
    })
  }

  #failed(flow: Flow, error: SallyportError): void {
    if (!isFaultOfServer(error) || !this.breaker.failed(flow, error)) return
    const { server, logger } = this.#options
    logger.warn('server keeps failing and is left alone for a while', { server, error: error.message })
    // those who wait would only be told later
    for (const waiting of [...this.#queue.keys()]) {
      const { refusal } = this.breaker
      if (refusal !== undefined) waiting.fail(refusal)
    }
  }

  #pauseMs(error: SallyportError, before: number): number | undefined {
    const asked = error instanceof UpstreamError ? error.retryAfterMs : undefined
    if (asked !== undefined && asked > LONGEST_PAUSE_MS) return undefined
    let pause = this.#pauses.next()
    for (let attempt = 0; attempt < before; attempt++) pause = pause.next(undefined)
    return Math.max(SHORTEST_PAUSE_MS, pause.duration, asked ?? 0)
  }

  /** Finds out, only now, whether the call may be made twice. */
  async #repeat(flow: Flow, error: SallyportError): Promise<void> {
    const allowed = isUnsent(error) || (await flow.repeatable?.isSafe()) === true
    if (flow.settled) return
    const refusal = this.breaker.admit(flow)
    if (refusal !== undefined || !allowed) {
      flow.repeats = Number.POSITIVE_INFINITY
      flow.fail(error)
      return
    }
    const { server, logger } = this.#options
    logger.info('a call is made again', { server, method: flow.method, error: error.message })
    flow.dispatch()
  }
}

/** A call that ran out of time has used up its caller's patience, and would again. */
function isWorthRepeating(error: SallyportError): boolean {
  return error.code === 'ERR_UPSTREAM_UNAVAILABLE'
}

function isUnsent(error: SallyportError): boolean {
  return error instanceof UpstreamError && error.retrySafe
}

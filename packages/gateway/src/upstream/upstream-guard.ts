import { type Logger, type RetryDefinition, SallyportError, UpstreamError } from '@sallyport/core'
import { ExponentialBackoff } from 'cockatiel'
import type { Flow, FlowGuard } from '../call/flow.ts'
import type { GatewayLimits } from '../gateway-options.ts'
import type { UpstreamBreaker } from '../observe/events.ts'
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

/** What one tenant may take, of calls and of places to wait, so that something is left for the others. */
const SHARE = 3 / 4
/** Tenants that are remembered although they have nothing open. */
const MAX_IDLE_TENANTS = 1_000

/** One tenant's calls to the server. */
class TenantCalls {
  readonly breaker: CircuitBreaker
  open = 0
  /** Calls that wait for their turn, in the order in which they came. */
  readonly queue: Waiting[] = []

  constructor(breaker: CircuitBreaker) {
    this.breaker = breaker
  }
}

interface Waiting {
  readonly flow: Flow
  /** Milliseconds since the epoch. */
  readonly deadline: number
}

/**
 * Stands between callers and one server: no more calls at a time than the server may have, none while it keeps failing, and a
 * second attempt where that is allowed. An ordinary call costs some counters; nothing is allocated for it.
 *
 * Tenants are kept apart: what one of them makes the server fail at, or lets it wait for, does not shut out another.
 */
export class UpstreamGuard implements FlowGuard {
  readonly #options: UpstreamGuardOptions
  readonly #tenants = new Map<string, TenantCalls>()
  readonly #share: number
  readonly #pauses = new ExponentialBackoff({ initialDelay: SHORTEST_PAUSE_MS, maxDelay: LONGEST_PAUSE_MS })
  #open = 0
  #waiting = 0
  /** When the server last answered anybody. */
  #answeredAt = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: UpstreamGuardOptions) {
    this.#options = options
    this.#share = shareOf(options.limits.callsPerServer)
  }

  /** The worst that any tenant meets. */
  get state(): UpstreamBreaker['state'] {
    const states = [...this.#tenants.values()].map(({ breaker }) => breaker.state)
    return states.find((it) => it === 'open') ?? states.find((it) => it === 'half-open') ?? 'closed'
  }

  breakerOf(tenant: string): CircuitBreaker {
    return this.#callsOf(tenant).breaker
  }

  /** Sends the call, or lets it wait, or refuses it. */
  send(flow: Flow): void {
    // a subscription is open for ever, and whoever listens comes back by itself
    if (flow.endless) {
      flow.dispatch()
      return
    }
    const calls = this.#callsOf(flow.context.principal.tenant)
    if (this.#hasRoom(calls) && calls.queue.length === 0) this.#start(flow, calls)
    else this.#wait(flow, calls)
  }

  settled(flow: Flow): void {
    const calls = this.#callsOf(flow.context.principal.tenant)
    if (this.#waiting > 0 && this.#leaveQueue(flow, calls)) return
    this.#open--
    calls.open--
    const { failure } = flow
    if (flow.answered) {
      this.#answeredAt = this.#options.now()
      calls.breaker.succeeded()
    } else if (failure === undefined || !isFaultOfServer(failure)) calls.breaker.undecided(flow)
    else this.#failed(flow, failure, calls)
    if (this.#waiting > 0) this.#next()
  }

  takesOver(flow: Flow, error: unknown): boolean {
    const { retry } = this.#options
    if (retry === undefined || flow.repeatable === undefined || flow.wasHeard || this.#isWaiting(flow))
      return false
    if (!SallyportError.isInstance(error) || !isWorthRepeating(error)) return false
    if (flow.repeats >= (retry.attempts ?? 1)) return false
    const pauseMs = this.#pauseMs(error, flow.repeats)
    if (pauseMs === undefined) return false
    flow.repeats++
    this.#failed(flow, error, this.#callsOf(flow.context.principal.tenant))
    flow.carrier = undefined
    setTimeout(() => void this.#repeat(flow, error), pauseMs)
    return true
  }

  #callsOf(tenant: string): TenantCalls {
    const known = this.#tenants.get(tenant)
    if (known !== undefined) return known
    if (this.#tenants.size >= MAX_IDLE_TENANTS) this.#forgetIdle()
    const { server, limits, now } = this.#options
    const breaker = new CircuitBreaker({
      server,
      failures: limits.breakerFailures,
      firstMs: limits.breakerMs,
      longestMs: limits.longestBreakerMs,
      now,
    })
    const calls = new TenantCalls(breaker)
    this.#tenants.set(tenant, calls)
    return calls
  }

  #forgetIdle(): void {
    for (const [tenant, { open, queue, breaker }] of this.#tenants)
      if (open === 0 && queue.length === 0 && breaker.state === 'closed') this.#tenants.delete(tenant)
  }

  #hasRoom({ open }: TenantCalls): boolean {
    return this.#open < this.#options.limits.callsPerServer && open < this.#share
  }

  #start(flow: Flow, calls: TenantCalls): void {
    const refusal = calls.breaker.admit(flow)
    if (refusal !== undefined) {
      flow.fail(refusal)
      return
    }
    this.#open++
    calls.open++
    flow.guard = this
    flow.dispatch()
  }

  #wait(flow: Flow, calls: TenantCalls): void {
    const { server, limits, now } = this.#options
    const { refusal } = calls.breaker
    if (refusal !== undefined) {
      flow.fail(refusal)
      return
    }
    const most = limits.queuedCallsPerServer
    if (this.#waiting >= most || calls.queue.length >= shareOf(most)) {
      const message = `is busy: ${this.#open} calls are open and ${this.#waiting} wait`
      flow.fail(this.#busy(server, message))
      return
    }
    flow.guard = this
    calls.queue.push({ flow, deadline: now() + limits.queueMs })
    this.#waiting++
    if (this.#timer === undefined) this.#expireIn(limits.queueMs)
  }

  #isWaiting(flow: Flow): boolean {
    return this.#callsOf(flow.context.principal.tenant).queue.some((it) => it.flow === flow)
  }

  #leaveQueue(flow: Flow, { queue }: TenantCalls): boolean {
    const at = queue.findIndex((it) => it.flow === flow)
    if (at < 0) return false
    queue.splice(at, 1)
    this.#waiting--
    return true
  }

  /** Lets those in whose turn it is: of the tenants that wait, the one with the fewest calls open. */
  #next(): void {
    while (this.#waiting > 0) {
      let next: TenantCalls | undefined
      for (const calls of this.#tenants.values()) {
        const mayStart = calls.queue.length > 0 && this.#hasRoom(calls)
        if (mayStart && (next === undefined || calls.open < next.open)) next = calls
      }
      const first = next?.queue.shift()
      if (next === undefined || first === undefined) return
      this.#waiting--
      first.flow.guard = undefined
      this.#start(first.flow, next)
    }
  }

  #expireIn(ms: number): void {
    this.#timer = setTimeout(() => this.#expire(), ms)
    this.#timer.unref()
  }

  #expire(): void {
    this.#timer = undefined
    const { server, limits, now } = this.#options
    let restMs = Number.POSITIVE_INFINITY
    for (const { queue } of this.#tenants.values()) {
      for (const { flow, deadline } of [...queue]) {
        if (deadline > now()) {
          restMs = Math.min(restMs, deadline - now())
          break
        }
        const message = `is busy: ${this.#open} calls have been open for ${limits.queueMs} ms`
        flow.fail(this.#busy(server, message))
      }
    }
    if (restMs < Number.POSITIVE_INFINITY) this.#expireIn(restMs)
  }

  #busy(server: string, message: string): UpstreamError {
    const { queueMs } = this.#options.limits
    return new BlamelessError('ERR_UPSTREAM_UNAVAILABLE', server, message, {
      retrySafe: true,
      retryAfterMs: queueMs,
    })
  }

  #failed(flow: Flow, error: SallyportError, { breaker, queue }: TenantCalls): void {
    // a server that has answered somebody meanwhile is there: it is this call that it fails at
    if (this.#answeredAt > flow.startedAt) {
      breaker.undecided(flow)
      return
    }
    if (!isFaultOfServer(error) || !breaker.failed(flow, error)) return
    const { server, logger } = this.#options
    logger.warn('server keeps failing and is left alone for a while', { server, error: error.message })
    // those who wait would only be told later
    for (const waiting of [...queue]) {
      const { refusal } = breaker
      if (refusal !== undefined) waiting.flow.fail(refusal)
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
    const refusal = this.breakerOf(flow.context.principal.tenant).admit(flow)
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

/** Rounded up: where there is little, one may take it all. */
function shareOf(limit: number): number {
  return Math.ceil(limit * SHARE)
}

/** A call that ran out of time has used up its caller's patience, and would again. */
function isWorthRepeating(error: SallyportError): boolean {
  return error.code === 'ERR_UPSTREAM_UNAVAILABLE'
}

function isUnsent(error: SallyportError): boolean {
  return error instanceof UpstreamError && error.retrySafe
}

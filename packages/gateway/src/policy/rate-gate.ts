import {
  type Principal,
  principalKey,
  type RateLimiter,
  type RateLimitVerdict,
  SallyportError,
  StorageUnavailableError,
} from '@sallyport/core'
import type { Flow } from '../call/flow.ts'
import type { RequestKind } from '../call/request-target.ts'
import { RpcCode } from '../wire/protocol.ts'
import type { OneOrMore } from './rule.ts'
import { ToolPatterns } from './tool-patterns.ts'

/** How often something may be done. */
export interface RateLimitOptions {
  /** Letters, digits, `-` and `_`: clients see it in the `RateLimit` header. */
  readonly name: string
  /** Who shares the points: one caller, everyone of a tenant, or one caller for each tool of its own. */
  readonly per: 'principal' | 'tenant' | 'principal+tool'
  /** Counts calls of these tools only (`<server>/<tool>`, as in policies). Default: calls, reads, completions, lists and log levels alike. */
  readonly tools?: OneOrMore
  readonly points: number
  readonly durationSeconds: number
}

/** Counts requests, and refuses those that are too many. */
export class RateGate {
  readonly #limits: readonly CheckedLimit[]
  readonly #limiter: RateLimiter

  constructor(limits: readonly RateLimitOptions[], limiter: RateLimiter) {
    this.#limits = limits.map((limit) => new CheckedLimit(limit))
    this.#limiter = limiter
  }

  /**
   * Takes a point of each limit that the request falls under. `go` is called, at once if the limiter needs no time, if there was
   * one of each; otherwise the request is answered. A limiter that fails refuses.
   * @param target name of the tool, where it is one
   */
  take(flow: Flow, server: string, kind: RequestKind, target: string | undefined, go: () => void): void {
    this.#from(0, flow, server, kind === 'tool' ? target : undefined, undefined, go)
  }

  #from(
    start: number,
    flow: Flow,
    server: string,
    tool: string | undefined,
    before: Shown | undefined,
    go: () => void,
  ): void {
    let shown = before
    for (let index = start; index < this.#limits.length; index++) {
      const limit = this.#limits[index]
      if (limit === undefined || !limit.concerns(server, tool)) continue
      const consumed = this.#consume(limit, limit.keyOf(flow.context.principal, server, tool))
      if (consumed instanceof Promise) {
        const soFar = shown
        const rest = (verdict: RateLimitVerdict | SallyportError) => {
          if (flow.settled) return
          const next = judge(flow, limit, verdict, soFar)
          if (next !== undefined) this.#from(index + 1, flow, server, tool, next, go)
        }
        consumed.then(rest).catch((error: unknown) => flow.fail(error))
        return
      }
      shown = judge(flow, limit, consumed, shown)
      if (shown === undefined) return
    }
    if (shown !== undefined) flow.annotate({ 'ratelimit-policy': shown.policies, ratelimit: shown.states })
    go()
  }

  #consume(
    limit: CheckedLimit,
    key: string,
  ): RateLimitVerdict | SallyportError | Promise<RateLimitVerdict | SallyportError> {
    try {
      const consumed = this.#limiter.consume(limit, key)
      return consumed instanceof Promise ? consumed.catch(failure) : consumed
    } catch (cause) {
      return failure(cause)
    }
  }
}

/** What the headers will say. */
interface Shown {
  readonly policies: string
  readonly states: string
}

/** What to show so far, or `undefined` if the request was refused. */
function judge(
  flow: Flow,
  limit: CheckedLimit,
  verdict: RateLimitVerdict | SallyportError,
  before: Shown | undefined,
): Shown | undefined {
  if (SallyportError.isInstance(verdict)) {
    flow.fail(verdict)
    return undefined
  }
  const seconds = Math.ceil(verdict.resetMs / 1_000)
  const state = `"${limit.name}";r=${verdict.remaining};t=${seconds}`
  const policies = before === undefined ? limit.policy : `${before.policies}, ${limit.policy}`
  const states = before === undefined ? state : `${before.states}, ${state}`
  if (verdict.allowed) return { policies, states }
  const retryAfterMs = Math.ceil(verdict.resetMs)
  flow.annotate({
    'ratelimit-policy': policies,
    ratelimit: states,
    'retry-after': String(Math.max(1, seconds)),
  })
  const message = `too many requests: "${limit.name}" allows ${limit.points} in ${limit.durationSeconds} s`
  const data = { code: 'ERR_LIMIT_EXCEEDED', limit: limit.name, retryAfterMs }
  // clients of the legacy era take any other status for a broken connection, and do not read the error
  const status = flow.context.era === 'modern' ? 429 : 200
  flow.reject(status, { code: RpcCode.invalidRequest, message, data }, 'ERR_LIMIT_EXCEEDED')
  return undefined
}

function failure(cause: unknown): SallyportError {
  if (SallyportError.isInstance(cause)) return cause
  return new StorageUnavailableError('the rate limiter failed', { cause })
}

class CheckedLimit implements RateLimitOptions {
  readonly name: string
  readonly per: RateLimitOptions['per']
  readonly points: number
  readonly durationSeconds: number
  /** For the `RateLimit-Policy` header (draft-ietf-httpapi-ratelimit-headers-10, section 3). */
  readonly policy: string
  readonly #tools: ToolPatterns | undefined

  constructor({ name, per, tools, points, durationSeconds }: RateLimitOptions) {
    this.name = name
    this.per = per
    this.points = points
    this.durationSeconds = durationSeconds
    this.policy = `"${name}";q=${points};w=${durationSeconds}`
    this.#tools = tools === undefined ? undefined : new ToolPatterns(tools)
  }

  concerns(server: string, tool: string | undefined): boolean {
    if (tool === undefined) return this.#tools === undefined && this.per !== 'principal+tool'
    return this.#tools === undefined || this.#tools.match(server, tool)
  }

  keyOf(principal: Principal, server: string, tool: string | undefined): string {
    switch (this.per) {
      case 'tenant':
        return principal.tenant
      case 'principal':
        return principalKey(principal)
      case 'principal+tool':
        return `${principalKey(principal)}${JSON.stringify([server, tool])}`
    }
  }
}

import {
  ConfigError,
  type PolicyExplanation,
  type PolicyTarget,
  type Principal,
  type ServerDefinition,
  type ServerRegistry,
} from '@sallyport/core'
import { createFetchHandler, type FetchInfo } from './front/fetch-handler.ts'
import { HttpFront } from './front/http-front.ts'
import { GatewayCore } from './gateway-core.ts'
import { type GatewayStatus, statusOf } from './status.ts'
import { missing } from './config/closest-name.ts'
import { serverIssues } from './config/server-issues.ts'
import { checkQuestion } from './policy/explain-issues.ts'
import { checkOptions, type GatewayOptions, isRegistry } from './gateway-options.ts'

/** A running gateway. How clients reach it is up to `fetch`, `nodeHandler` and `serveStdio`. */
export interface Gateway {
  /** A handler for every server that speaks `Request` and `Response`. Needs no `this`. */
  readonly fetch: (request: Request, info?: FetchInfo) => Promise<Response>
  /** Resolves when the servers are known and each was asked once what it speaks, or took too long to say. */
  ready(): Promise<void>
  /** `ready` turns false when the gateway begins to shut down. */
  health(): { readonly live: boolean; readonly ready: boolean }
  /** What is open, connected, kept and wrong at this moment. */
  status(): GatewayStatus
  /**
   * Why a caller sees something or not, and may use it or not, as far as the policy goes. Names are the server's own. That there is
   * no such server is said in `reason`; whether it has such a tool or resource is not looked at. Rejects with a `ConfigError` if
   * there is no such kind of target, or if the principal is incomplete.
   */
  explain(principal: Principal, target: PolicyTarget): Promise<PolicyExplanation>
  /**
   * Takes nothing new, lets open calls end, then stops all servers. Calls that are still open after `deadlineMs`
   * (default 10,000) are answered with `ERR_SHUTTING_DOWN`.
   */
  close(options?: { readonly deadlineMs?: number }): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** The parts of a gateway, for the fronts in other entry points of this package. */
export interface AttachedParts {
  readonly core: GatewayCore
  readonly front: HttpFront
}

const parts = new WeakMap<Gateway, AttachedParts>()

/** Options are checked at once; a mistake is a `ConfigError` that names it. Servers are started when they are needed. */
export function createGateway(options: GatewayOptions): Gateway {
  checkOptions(options)
  const core = new GatewayCore(options)
  warnOfOpenAudience(options, core)
  const front = new HttpFront(core)
  const life = new Life(core, options.servers)
  const gateway: Gateway = {
    fetch: createFetchHandler(front, core.slowClients),
    ready: () => life.ready(),
    health: () => core.health(),
    status: () => statusOf(core),
    explain: async (principal, target) => {
      checkQuestion(principal, target)
      const explanation = await core.access.explain(principal, target)
      const servers = core.upstreams.all().map(({ name }) => name)
      if (!life.serversKnown || servers.includes(target.server)) return explanation
      return { ...explanation, reason: `${missing('server', target.server, servers)}; ${explanation.reason}` }
    },
    close: (closing) => life.close(closing?.deadlineMs ?? 10_000),
    [Symbol.asyncDispose]: () => life.close(10_000),
  }
  parts.set(gateway, { core, front })
  return gateway
}

/** A token for another gateway may be taken for one for this, as long as whoever calls says what this one is called. */
function warnOfOpenAudience({ publicUrl, authenticate }: GatewayOptions, { logger }: GatewayCore): void {
  if (publicUrl !== undefined || authenticate?.metadata === undefined) return
  const what = 'tokens are checked against the Host header of each request, because publicUrl is not set'
  logger.warn(`${what}: set it to the URL that clients use, such as https://mcp.example.com/mcp`)
}

export function partsOf(gateway: Gateway): AttachedParts {
  const found = parts.get(gateway)
  if (found !== undefined) return found
  throw new ConfigError([{ path: 'gateway', message: 'expected what createGateway() returned' }])
}

const SWEEP_MS = 5_000
const RETRY_MS = 1_000
const LONGEST_RETRY_MS = 60_000

/** Beginning, reloads and end of a gateway. */
class Life {
  readonly #core: GatewayCore
  readonly #fixed: boolean
  readonly #loaded: Promise<void>
  readonly #sweep: NodeJS.Timeout
  #unwatch: (() => void) | undefined
  #retry: NodeJS.Timeout | undefined
  #loads = 0
  #appliedLoad = 0
  #closing: Promise<void> | undefined

  constructor(core: GatewayCore, servers: GatewayOptions['servers']) {
    this.#core = core
    this.#fixed = !isRegistry(servers)
    if (isRegistry(servers)) {
      this.#unwatch = servers.watch(() => void this.#load(servers))
      this.#loaded = this.#load(servers)
    } else {
      core.upstreams.replace(new Map(Object.entries(servers)))
      this.#loaded = Promise.resolve()
    }
    this.#sweep = setInterval(() => {
      core.sessions.sweep()
      core.budget.sweep()
      core.sweepRetired()
    }, SWEEP_MS)
    this.#sweep.unref()
  }

  /** False until a registry has been read. */
  get serversKnown(): boolean {
    return this.#fixed || this.#appliedLoad > 0
  }

  async ready(): Promise<void> {
    await this.#loaded
    await Promise.all(this.#core.upstreams.all().map((upstream) => upstream.era()))
  }

  close(deadlineMs: number): Promise<void> {
    this.#closing ??= this.#end(deadlineMs)
    return this.#closing
  }

  async #end(deadlineMs: number): Promise<void> {
    this.#unwatch?.()
    clearInterval(this.#sweep)
    clearTimeout(this.#retry)
    await this.#core.close(deadlineMs)
  }

  /**
   * A registry that fails, or holds a definition that cannot be used, changes nothing. One that fails is asked again; an
   * answer that is overtaken by a later one does not count.
   */
  async #load(registry: ServerRegistry, retryMs = RETRY_MS): Promise<void> {
    const { logger, upstreams } = this.#core
    const load = ++this.#loads
    clearTimeout(this.#retry)
    let definitions: ReadonlyMap<string, ServerDefinition>
    try {
      definitions = new Map(await registry.list())
    } catch (cause) {
      logger.error('the server registry failed', { cause: String(cause) })
      if (load === this.#loads && this.#closing === undefined) {
        const nextMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)
        this.#retry = setTimeout(() => void this.#load(registry, nextMs), retryMs)
        this.#retry.unref()
      }
      return
    }
    if (load < this.#appliedLoad || this.#closing !== undefined) return
    this.#appliedLoad = load
    const issues = serverIssues(Object.fromEntries(definitions))
    if (issues.length > 0) {
      logger.error('the server registry holds definitions that cannot be used', { issues })
      return
    }
    const changed = upstreams.replace(definitions)
    if (changed.length > 0) this.#core.serversChanged(changed)
  }
}

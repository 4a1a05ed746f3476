import {
  type JsonObject,
  type Logger,
  principalKey,
  type RequestContext,
  SallyportError,
} from '@sallyport/core'
import type { InternalAnswer } from '../call/internal-call.ts'
import { isRecord } from '../wire/client-message.ts'
import { type ParamHeader, scanParamHeaders } from '../wire/param-headers.ts'

export interface ToolAnnotationsOptions {
  readonly server: string
  /** Callers may be shown different tools. */
  readonly perPrincipal: boolean
  readonly logger: Logger
  readonly now: () => number
  /** Asks the server for one page of its tools. */
  readonly ask: (context: RequestContext, params: JsonObject) => Promise<InternalAnswer | SallyportError>
}

interface Known {
  /** Only tools that have annotations: most have none. */
  readonly tools: ReadonlyMap<string, readonly ParamHeader[]>
  /** Milliseconds since the epoch. */
  readonly until: number
}

const NONE: readonly ParamHeader[] = []
const KEPT_MS = 600_000
/** A server that does not tell its tools holds up calls once in this time. */
const FAILURE_MS = 60_000
const MAX_CALLERS = 1_000
const MAX_PAGES = 100

/**
 * Which parameters of one server's tools are repeated in headers. Servers are asked only where the gateway has to know: it
 * writes the headers itself, or checks them in the place of a server that never sees any.
 */
export class ToolAnnotations {
  readonly #options: ToolAnnotationsOptions
  readonly #known = new Map<string, Known>()
  #hasAny = false
  readonly #asking = new Map<string, Promise<void>>()

  constructor(options: ToolAnnotationsOptions) {
    this.#options = options
  }

  /** Nothing is known of any tool that has annotations. */
  get isEmpty(): boolean {
    return !this.#hasAny
  }

  /** `undefined` as long as the server was not asked for this caller. */
  known(context: RequestContext, tool: string): readonly ParamHeader[] | undefined {
    if (this.#known.size === 0) return undefined
    const known = this.#known.get(this.#key(context))
    if (known === undefined || known.until <= this.#options.now()) return undefined
    return known.tools.get(tool) ?? NONE
  }

  /** Asks the server; afterwards {@link known} has an answer. Never rejects. */
  learn(context: RequestContext, meta: JsonObject): Promise<void> {
    const key = this.#key(context)
    const asking = this.#asking.get(key)
    if (asking !== undefined) return asking
    const asked = this.#fetch(context, meta).then((tools) => {
      this.#asking.delete(key)
      const [oldest] = this.#known.size >= MAX_CALLERS ? this.#known.keys() : []
      if (oldest !== undefined) this.#known.delete(oldest)
      if (tools !== undefined && tools.size > 0) this.#hasAny = true
      this.#known.delete(key)
      const keptMs = tools === undefined ? FAILURE_MS : KEPT_MS
      this.#known.set(key, { tools: tools ?? new Map(), until: this.#options.now() + keptMs })
    })
    this.#asking.set(key, asked)
    return asked
  }

  async #fetch(
    context: RequestContext,
    meta: JsonObject,
  ): Promise<ReadonlyMap<string, readonly ParamHeader[]> | undefined> {
    const tools = new Map<string, readonly ParamHeader[]>()
    let cursor: unknown
    for (let pages = 0; pages < MAX_PAGES; pages++) {
      const page = typeof cursor === 'string' ? { cursor } : {}
      const answer = await this.#options.ask(context, { ...page, _meta: meta })
      if (SallyportError.isInstance(answer) || !('result' in answer)) return undefined
      const listed: unknown = answer.result['tools']
      for (const tool of Array.isArray(listed) ? listed : []) this.#take(tool, tools)
      cursor = answer.result['nextCursor']
      if (typeof cursor !== 'string') break
    }
    return tools
  }

  #take(tool: unknown, tools: Map<string, readonly ParamHeader[]>): void {
    if (!isRecord(tool) || typeof tool['name'] !== 'string') return
    const { name } = tool
    const { headers, fault } = scanParamHeaders(tool['inputSchema'])
    if (fault !== undefined)
      this.#options.logger.warn('a tool is not valid', { server: this.#options.server, tool: name, fault })
    else if (headers.length > 0) tools.set(name, headers)
  }

  #key({ principal }: RequestContext): string {
    return this.#options.perPrincipal ? principalKey(principal) : principal.tenant
  }
}

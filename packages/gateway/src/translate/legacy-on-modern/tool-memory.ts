import { type Principal, principalKey, SallyportError } from '@sallyport/core'
import { isRecord } from '../../wire/client-message.ts'
import { type ParamHeader, scanParamHeaders } from '../../wire/param-headers.ts'
import { needsWrapping } from './output-schema.ts'

/** What has to be known of a tool to call it, and to show what it returns. */
export interface ToolFacts {
  /** Parameters that headers repeat. */
  readonly headers: readonly ParamHeader[]
  /** Its values are wrapped, whatever they are, because its output schema is. */
  readonly wraps: boolean
}

const PLAIN: ToolFacts = { headers: [], wraps: false }
const MAX_PRINCIPALS = 1_000
const MAX_TOOLS = 10_000

/** Reads what matters of a tool's definition; a text if the definition breaks the rules for annotations. */
export function toolFacts(definition: Readonly<Record<string, unknown>>): ToolFacts | string {
  const { headers, fault } = scanParamHeaders(definition['inputSchema'])
  if (fault !== undefined) return fault
  const wraps = needsWrapping(definition['outputSchema'])
  return headers.length === 0 && !wraps ? PLAIN : { headers, wraps }
}

/** The tools of one server as callers have seen them. What a server lists may depend on who asks. */
export class ToolMemory {
  readonly #known = new Map<string, Map<string, ToolFacts>>()
  readonly #fetching = new Map<string, Promise<void>>()

  /** What is known of a tool, if it was listed. */
  find(principal: Principal, name: string): ToolFacts | undefined {
    return this.#known.get(principalKey(principal))?.get(name)
  }

  learn(principal: Principal, name: string, facts: ToolFacts): void {
    const key = principalKey(principal)
    let tools = this.#known.get(key)
    if (tools === undefined) {
      const [oldest] = this.#known.size >= MAX_PRINCIPALS ? this.#known.keys() : []
      if (oldest !== undefined) this.#known.delete(oldest)
      tools = new Map()
      this.#known.set(key, tools)
    }
    if (tools.size >= MAX_TOOLS && !tools.has(name)) tools.clear()
    tools.set(name, facts)
  }

  /**
   * Asks the server for its tools, once for all who wait. A tool that it does not list has no annotations; a server that does
   * not answer will say why to the call itself.
   */
  async refresh(
    principal: Principal,
    name: string,
    list: (cursor: string | undefined) => Promise<Readonly<Record<string, unknown>> | SallyportError>,
  ): Promise<void> {
    const key = principalKey(principal)
    let fetching = this.#fetching.get(key)
    if (fetching === undefined) {
      fetching = this.#fetch(principal, list).finally(() => this.#fetching.delete(key))
      this.#fetching.set(key, fetching)
    }
    await fetching
    if (this.find(principal, name) === undefined) this.learn(principal, name, PLAIN)
  }

  async #fetch(
    principal: Principal,
    list: (cursor: string | undefined) => Promise<Readonly<Record<string, unknown>> | SallyportError>,
  ): Promise<void> {
    let cursor: string | undefined
    // a server that hands out cursors without end is not followed for ever
    for (let pages = 0; pages < 100; pages++) {
      const result = await list(cursor)
      if (SallyportError.isInstance(result)) return
      const { tools, nextCursor } = result
      for (const definition of Array.isArray(tools) ? tools : []) {
        if (!isRecord(definition) || typeof definition['name'] !== 'string') continue
        const facts = toolFacts(definition)
        this.learn(principal, definition['name'], typeof facts === 'string' ? PLAIN : facts)
      }
      if (typeof nextCursor !== 'string') return
      cursor = nextCursor
    }
  }
}

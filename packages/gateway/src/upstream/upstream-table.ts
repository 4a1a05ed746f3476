import type { Logger, ServerDefinition } from '@sallyport/core'
import { serverPart } from '../aggregate/names.ts'
import { Upstream, type UpstreamEnvironment } from './upstream.ts'

/** The servers of the gateway in the order of the registry, replaced one by one when their definition changes. */
export class UpstreamTable {
  readonly #environment: UpstreamEnvironment
  readonly #logger: Logger
  #upstreams = new Map<string, Upstream>()
  #all: readonly Upstream[] = []
  #byPart = new Map<string, Upstream>()
  /** When each was replaced, in milliseconds since the epoch. */
  readonly #retired = new Map<Upstream, number>()

  constructor(environment: UpstreamEnvironment) {
    this.#environment = environment
    this.#logger = environment.logger
  }

  get(name: string): Upstream | undefined {
    return this.#upstreams.get(name)
  }

  /** By what stands before the separator in a public name. */
  byPart(part: string): Upstream | undefined {
    return this.#byPart.get(part)
  }

  /** The same array until the set of servers changes. */
  all(): readonly Upstream[] {
    return this.#all
  }

  get size(): number {
    return this.#upstreams.size
  }

  /** Names of the servers that were added, changed or removed. Calls under way end with the definition they began with. */
  replace(definitions: ReadonlyMap<string, ServerDefinition>): readonly string[] {
    const next = new Map<string, Upstream>()
    const changed: string[] = []
    for (const [name, definition] of definitions) {
      const known = this.#upstreams.get(name)
      if (known !== undefined && JSON.stringify(known.definition) === JSON.stringify(definition))
        next.set(name, known)
      else {
        next.set(name, new Upstream({ name, definition }, this.#environment))
        changed.push(name)
      }
    }
    for (const [name, upstream] of this.#upstreams) {
      if (next.get(name) === upstream) continue
      if (!next.has(name)) changed.push(name)
      this.#retired.set(upstream, this.#environment.now())
    }
    this.#upstreams = next
    this.#all = [...next.values()]
    this.#byPart = new Map([...next.values()].map((upstream) => [serverPart(upstream.name), upstream]))
    if (this.#byPart.size < next.size)
      this.#logger.warn('two servers have names that look the same to clients')
    return changed
  }

  /** Closes what was replaced before the oldest open call began. */
  sweepRetired(oldestCallAt: number): void {
    for (const [upstream, retiredAt] of this.#retired) {
      if (oldestCallAt <= retiredAt) continue
      this.#retired.delete(upstream)
      void upstream.close()
    }
  }

  async close(): Promise<void> {
    await Promise.all(
      [...this.#upstreams.values(), ...this.#retired.keys()].map((upstream) => upstream.close()),
    )
  }
}

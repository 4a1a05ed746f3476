import { isRecord } from '../wire/client-message.ts'
import type { Repeatable } from '../call/flow.ts'
import type { Asker, Catalog, CatalogEntry } from './catalog.ts'
import { listOfKind, listOfMethod } from './list-kind.ts'

const READING: ReadonlySet<string> = new Set([
  'resources/read',
  'prompts/get',
  'completion/complete',
  'ping',
  'server/discover',
])

/**
 * A call that may be made twice if the protocol or the server's own list says so (2025-11-25 server/tools,
 * "ToolAnnotations": `readOnlyHint`, `idempotentHint`). The list is looked at, and fetched, only when it comes to that.
 */
export class AnnotatedCall implements Repeatable {
  readonly #catalog: Catalog
  readonly #asker: Asker
  readonly #server: string
  readonly #method: string
  readonly #target: string | undefined

  constructor(catalog: Catalog, asker: Asker, server: string, method: string, target: string | undefined) {
    this.#catalog = catalog
    this.#asker = asker
    this.#server = server
    this.#method = method
    this.#target = target
  }

  async isSafe(): Promise<boolean> {
    if (READING.has(this.#method) || listOfMethod(this.#method) !== undefined) return true
    if (this.#method !== 'tools/call' || this.#target === undefined) return false
    const marked = (entry: CatalogEntry) => this.#isMarked(entry)
    const found = await this.#catalog.find(this.#asker, this.#server, listOfKind('tools'), marked)
    return found === true
  }

  /** `undefined` if the tool is not in this part of the list. */
  #isMarked({ definitions, names }: CatalogEntry): boolean | undefined {
    for (const { name, annotations } of definitions) {
      if (typeof name !== 'string' || names.get(name) !== this.#target) continue
      return (
        isRecord(annotations) &&
        (annotations['readOnlyHint'] === true || annotations['idempotentHint'] === true)
      )
    }
    return undefined
  }
}

import { Glob } from './glob.ts'
import type { OneOrMore } from './rule.ts'

/** `<server>/<tool>` patterns that were checked before. */
export class ToolPatterns {
  readonly #patterns: readonly { readonly server: Glob; readonly tool: Glob }[]

  constructor(patterns: OneOrMore) {
    this.#patterns = (typeof patterns === 'string' ? [patterns] : patterns).map((text) => {
      const slash = text.indexOf('/')
      return {
        server: Glob.parse(text.slice(0, slash)) ?? new Glob([]),
        tool: Glob.parse(text.slice(slash + 1)) ?? new Glob([]),
      }
    })
  }

  match(server: string, tool: string): boolean {
    return this.#patterns.some((pattern) => pattern.server.matches(server) && pattern.tool.matches(tool))
  }
}

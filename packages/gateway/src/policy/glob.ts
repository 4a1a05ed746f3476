/**
 * A pattern in which `*` stands for any run of characters, slashes included, also for none. `\*` is an asterisk and `\\` a
 * backslash. Nothing else has a meaning, and case counts.
 *
 * Matching takes the leftmost place of each literal part, which finds a match if there is one and never goes back: a hostile
 * text costs no more than a friendly one.
 */
export class Glob {
  /** Literal parts; between two of them is an asterisk. */
  readonly #parts: readonly string[]

  constructor(parts: readonly string[]) {
    this.#parts = parts
  }

  /** `undefined` if a backslash stands where it escapes nothing. */
  static parse(pattern: string): Glob | undefined {
    const parts = ['']
    for (let index = 0; index < pattern.length; index++) {
      let character = pattern.charAt(index)
      if (character === '*') {
        parts.push('')
        continue
      }
      if (character === '\\') {
        character = pattern.charAt(++index)
        if (character !== '*' && character !== '\\') return undefined
      }
      parts.push((parts.pop() ?? '') + character)
    }
    // two asterisks in a row are one
    return new Glob(parts.filter((part, at) => part !== '' || at === 0 || at === parts.length - 1))
  }

  /** What a URI template (RFC 6570) can expand to, and more: each expression is an asterisk. */
  static ofTemplate(template: string): Glob {
    return new Glob(template.split(/\{[^{}]*\}/))
  }

  /** The text itself, if there is no asterisk. */
  get literal(): string | undefined {
    return this.#parts.length === 1 ? this.#parts[0] : undefined
  }

  matches(text: string): boolean {
    const parts = this.#parts
    const first = parts[0] ?? ''
    if (parts.length === 1) return text === first
    const last = parts.at(-1) ?? ''
    const end = text.length - last.length
    if (end < first.length || !text.startsWith(first) || !text.endsWith(last)) return false
    let position = first.length
    for (let index = 1; index < parts.length - 1; index++) {
      const part = parts[index] ?? ''
      const at = text.indexOf(part, position)
      if (at < 0 || at + part.length > end) return false
      position = at + part.length
    }
    return true
  }

  /** Whether there is a text that both match. */
  overlaps(other: Glob): boolean {
    const own = this.#tokens()
    const others = other.#tokens()
    // reachable[j]: what came before in `own` can be met by what came before the jth token of `others`
    let reachable = closure(others, [true])
    for (const token of own) {
      const next: boolean[] = []
      for (let at = 0; at <= others.length; at++) {
        const there = others[at]
        if (token === ANY) {
          if (reachable[at] === true || next[at - 1] === true) next[at] = true
        } else if (reachable[at] === true) {
          if (there === ANY) next[at] = true
          else if (there === token) next[at + 1] = true
        }
      }
      reachable = closure(others, next)
    }
    return reachable[others.length] === true
  }

  /** Whether every text that `other` matches is matched by this one. May be wrong in one way: it says no too often. */
  covers(other: Glob): boolean {
    // an asterisk of the other's is a character that no part of ours holds, so only an asterisk of ours takes it
    return this.matches(other.#parts.join(unlike(this.#parts)))
  }

  #tokens(): readonly string[] {
    return this.#parts.flatMap((part, index) => [...(index === 0 ? [] : [ANY]), ...part.split('')])
  }
}

/** Among characters, what stands for an asterisk. */
const ANY = ''

/** An asterisk may stand for nothing: whoever is before it is also behind it. */
function closure(tokens: readonly string[], reachable: boolean[]): boolean[] {
  for (let at = 0; at < tokens.length; at++)
    if (reachable[at] === true && tokens[at] === ANY) reachable[at + 1] = true
  return reachable
}

function unlike(parts: readonly string[]): string {
  let code = 0xe000
  while (parts.some((part) => part.includes(String.fromCharCode(code)))) code++
  return String.fromCharCode(code)
}

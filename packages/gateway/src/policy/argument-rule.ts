import type { JsonObject } from '@sallyport/core'
import { isRecord } from '../wire/client-message.ts'
import { Glob } from './glob.ts'

export type JsonScalar = string | number | boolean | null

/**
 * What an argument has to be. All members that are given must hold. A value of another kind than a member speaks of (a list
 * where `max` wants a number) counts against the caller: it does not satisfy an `allow`, and it triggers a `deny`.
 */
export interface ArgumentCondition {
  readonly equals?: JsonScalar
  readonly oneOf?: readonly JsonScalar[]
  /** The whole text; `*` stands for any run of characters. */
  readonly pattern?: string
  /** How the text begins. Says nothing about paths: `/data/../etc` begins with `/data/`; use `within` for those. */
  readonly prefix?: string
  /** An absolute path: this directory, or something in it. A text that holds `..`, `~`, a backslash or a control character is never within. */
  readonly within?: string
  /** A number, at least this. */
  readonly min?: number
  /** A number, at most this. */
  readonly max?: number
  /** The argument must not be there. */
  readonly absent?: true
  /** The argument may be missing, which otherwise does not satisfy an `allow`. */
  readonly optional?: true
}

/** Conditions by JSON Pointer (RFC 6901) into `arguments`; the segment `*` stands for each element or member. */
export type ArgumentConditions = Readonly<
  Record<string, ArgumentCondition | JsonScalar | readonly JsonScalar[]>
>

export type Holds =
  | 'holds'
  | 'fails'
  | 'missing'
  /** It cannot be said: the value is of another kind, or the server may read another one. */
  | 'unclear'

/** The conditions of one rule, ready to be checked. */
export class ArgumentRule {
  readonly #conditions: readonly {
    readonly path: string
    readonly segments: readonly string[]
    readonly checks: Checks
  }[]

  constructor(conditions: ArgumentConditions) {
    this.#conditions = Object.entries(conditions).map(([path, condition]) => ({
      path,
      segments: segmentsOf(path) ?? [],
      checks: new Checks(fullCondition(condition)),
    }))
  }

  /** Paths that do not satisfy an `allow`: every value at every path has to fit. */
  unsatisfied(given: JsonObject): readonly string[] {
    return this.#conditions
      .filter(({ segments, checks }) => !checks.everyFits(valuesAt(given, segments)))
      .map(({ path }) => path)
  }

  /** Paths that do not trigger a `deny`: one value at each path has to be as described, or impossible to judge. */
  untriggered(given: JsonObject): readonly string[] {
    return this.#conditions
      .filter(({ segments, checks }) => !checks.someTriggers(valuesAt(given, segments)))
      .map(({ path }) => path)
  }
}

/** The segments of a JSON Pointer; `undefined` if it is none, or points at the arguments as a whole. */
export function segmentsOf(path: string): readonly string[] | undefined {
  if (!path.startsWith('/') || /~(?![01])/.test(path)) return undefined
  return path
    .slice(1)
    .split('/')
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function fullCondition(condition: ArgumentCondition | JsonScalar | readonly JsonScalar[]): ArgumentCondition {
  if (isScalar(condition)) return { equals: condition }
  return isScalars(condition) ? { oneOf: condition } : condition
}

class Checks {
  readonly #condition: ArgumentCondition
  readonly #pattern: Glob | undefined
  readonly #directory: string | undefined

  constructor(condition: ArgumentCondition) {
    this.#condition = condition
    this.#pattern = condition.pattern === undefined ? undefined : Glob.parse(condition.pattern)
    const directory = condition.within
    this.#directory = directory === undefined || directory === '/' ? directory : directory.replace(/\/+$/, '')
  }

  everyFits(found: readonly Found[]): boolean {
    const { absent, optional } = this.#condition
    return found.every((it) => {
      if (it === MISSING) return absent === true || optional === true
      return it !== UNCLEAR && this.#judge(it.value) === 'holds'
    })
  }

  someTriggers(found: readonly Found[]): boolean {
    return found.some((it) => {
      if (it === MISSING) return this.#condition.absent === true
      return it === UNCLEAR || this.#judge(it.value) !== 'fails'
    })
  }

  #judge(value: unknown): Holds {
    const results = new Set(this.#results(value))
    if (results.has('unclear')) return 'unclear'
    return results.has('fails') ? 'fails' : 'holds'
  }

  *#results(value: unknown): Generator<Holds> {
    const { equals, oneOf, prefix, min, max, absent } = this.#condition
    if (absent === true) yield 'fails'
    if (equals !== undefined) yield sameAs(value, [equals])
    if (oneOf !== undefined) yield sameAs(value, oneOf)
    const pattern = this.#pattern
    if (pattern !== undefined) yield ofText(value, (text) => pattern.matches(text))
    if (prefix !== undefined) yield ofText(value, (text) => text.startsWith(prefix))
    const directory = this.#directory
    if (directory !== undefined) yield typeof value === 'string' ? within(value, directory) : 'unclear'
    if (min !== undefined) yield ofNumber(value, (number) => number >= min)
    if (max !== undefined) yield ofNumber(value, (number) => number <= max)
  }
}

const MISSING = 'missing'
const UNCLEAR = 'unclear'
type Found = typeof MISSING | typeof UNCLEAR | { readonly value: unknown }

/** What stands at a path: one value, or as many as there are where a segment is `*`. */
function valuesAt(given: unknown, segments: readonly string[]): readonly Found[] {
  const [segment, ...rest] = segments
  if (segment === undefined) return [{ value: given }]
  if (Array.isArray(given)) {
    const elements: readonly unknown[] = given
    if (segment === '*') return elements.flatMap((element) => valuesAt(element, rest))
    if (!/^(?:0|[1-9]\d*)$/.test(segment)) return [UNCLEAR]
    const index = Number(segment)
    return index < elements.length ? valuesAt(elements[index], rest) : [MISSING]
  }
  if (!isRecord(given)) return [UNCLEAR]
  if (segment === '*') return Object.values(given).flatMap((member) => valuesAt(member, rest))
  // servers whose JSON reader ignores case may take the other one
  const lower = segment.toLowerCase()
  if (Object.keys(given).some((key) => key !== segment && key.toLowerCase() === lower)) return [UNCLEAR]
  // a name such as "constructor" is only there if the message has it
  return Object.hasOwn(given, segment) ? valuesAt(given[segment], rest) : [MISSING]
}

function sameAs(value: unknown, wanted: readonly JsonScalar[]): Holds {
  if (wanted.some((one) => one === value)) return 'holds'
  // "5" for 5, or a list with one element: some servers would take it
  return wanted.every((one) => typeof one === typeof value && value !== null && one !== null)
    ? 'fails'
    : 'unclear'
}

function ofText(value: unknown, test: (text: string) => boolean): Holds {
  if (typeof value !== 'string') return 'unclear'
  return test(value) ? 'holds' : 'fails'
}

function ofNumber(value: unknown, test: (number: number) => boolean): Holds {
  if (typeof value !== 'number' || !Number.isFinite(value)) return 'unclear'
  return test(value) ? 'holds' : 'fails'
}

/** Only a path that everybody reads in one way can be said to be in a directory, or outside. */
function within(path: string, directory: string): Holds {
  const clear = path.startsWith('/') && !/(?:^|\/)\.\.(?:\/|$)/.test(path) && !/[~\\\p{Cc}]/u.test(path)
  if (!clear) return 'unclear'
  const plain = path.replaceAll(/\/(?:\.?\/)*/g, '/').replace(/\/\.?$/, '')
  return directory === '/' || plain === directory || plain.startsWith(`${directory}/`) ? 'holds' : 'fails'
}

function isScalar(value: unknown): value is JsonScalar {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}

function isScalars(value: ArgumentCondition | readonly JsonScalar[]): value is readonly JsonScalar[] {
  return Array.isArray(value)
}

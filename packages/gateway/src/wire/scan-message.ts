import { META_SERVER_INFO, META_SUBSCRIPTION } from './protocol.ts'

/**
 * Finds where the parts of a JSON-RPC message stand, without building its values.
 *
 * The gateway hands messages on as the bytes it got, so that unknown members, number spellings and member order survive.
 * What has to change (an id, a name, a progress token) is replaced in place, and for that its position is needed.
 *
 * `text` is the message decoded as latin1: JSON's structure is ASCII, so positions in it are byte offsets, whatever the
 * strings hold. The scan does not validate; run it on what `JSON.parse` has accepted, or treat `undefined` as garbage.
 */
export function scanMessage(text: string): MessageScan | undefined {
  const scan = new MessageScan()
  return new Scanner(text, scan).message() ? scan : undefined
}

/** Byte ranges `[start, end)`; -1 where the member is absent. */
export class MessageScan {
  idStart = -1
  idEnd = -1
  methodStart = -1
  methodEnd = -1
  paramsStart = -1
  paramsEnd = -1
  /** `params.name` */
  nameStart = -1
  nameEnd = -1
  /** `params.uri` */
  uriStart = -1
  uriEnd = -1
  /** `params.requestId`, of `notifications/cancelled` */
  requestIdStart = -1
  requestIdEnd = -1
  /** `params.progressToken`, of `notifications/progress` */
  progressStart = -1
  progressEnd = -1
  /** `params._meta` */
  metaStart = -1
  metaEnd = -1
  /** `params._meta` has members for trace context (SEP-414). */
  hasTrace = false
  /** `params._meta.progressToken` */
  tokenStart = -1
  tokenEnd = -1
  /** `_meta["io.modelcontextprotocol/subscriptionId"]` of `params` or of `result` */
  subscriptionStart = -1
  subscriptionEnd = -1
  /** `params.requestState` */
  stateStart = -1
  stateEnd = -1
  /** `params.inputResponses` */
  responsesStart = -1
  responsesEnd = -1
  resultStart = -1
  resultEnd = -1
  /** `result.resultType` */
  resultTypeStart = -1
  resultTypeEnd = -1
  /** `result._meta` */
  resultMetaStart = -1
  resultMetaEnd = -1
  errorStart = -1
  errorEnd = -1
  /** `result.isError` is true */
  isError = false
  /** `result.ttlMs`, `result.cacheScope` and `result._meta["io.modelcontextprotocol/serverInfo"]` are there. */
  hasTtl = false
  hasCacheScope = false
  hasServerInfo = false
  /** First member name found twice in the message itself, its `params` or its `params._meta`. */
  duplicate: string | undefined
  /** Deepest nesting met. */
  depth = 0
}

const QUOTE = 34
const BACKSLASH = 92
const OPEN_BRACE = 123
const CLOSE_BRACE = 125
const OPEN_BRACKET = 91
const CLOSE_BRACKET = 93
const COMMA = 44
const COLON = 58

type ObjectKind = 'message' | 'params' | 'paramsMeta' | 'result' | 'resultMeta'

class Scanner {
  readonly #text: string
  readonly #scan: MessageScan
  #position = 0

  constructor(text: string, scan: MessageScan) {
    this.#text = text
    this.#scan = scan
  }

  message(): boolean {
    this.#skipSpace()
    if (this.#text.charCodeAt(this.#position) !== OPEN_BRACE) return false
    if (!this.#object('message', 1)) return false
    this.#skipSpace()
    return this.#position === this.#text.length
  }

  /** Walks the members of one object whose values may matter; everything else is skipped over. */
  #object(kind: ObjectKind, depth: number): boolean {
    const text = this.#text
    const seen: string[] = []
    let seenSet: Set<string> | undefined
    if (depth > this.#scan.depth) this.#scan.depth = depth
    this.#position++
    this.#skipSpace()
    if (text.charCodeAt(this.#position) === CLOSE_BRACE) {
      this.#position++
      return true
    }
    for (;;) {
      if (text.charCodeAt(this.#position) !== QUOTE) return false
      const keyStart = this.#position
      const keyEnd = stringEnd(text, keyStart)
      if (keyEnd < 0) return false
      const key = memberName(text, keyStart, keyEnd)
      if (seenSet === undefined && seen.length === 16) seenSet = new Set(seen)
      if (seenSet === undefined ? seen.includes(key) : seenSet.has(key)) this.#scan.duplicate ??= key
      if (seenSet === undefined) seen.push(key)
      else seenSet.add(key)
      this.#position = keyEnd
      this.#skipSpace()
      if (text.charCodeAt(this.#position) !== COLON) return false
      this.#position++
      this.#skipSpace()
      const start = this.#position
      if (!this.#member(kind, key, depth)) return false
      this.#note(kind, key, start, this.#position)
      this.#skipSpace()
      const next = text.charCodeAt(this.#position)
      this.#position++
      if (next === CLOSE_BRACE) return true
      if (next !== COMMA) return false
      this.#skipSpace()
    }
  }

  #member(kind: ObjectKind, key: string, depth: number): boolean {
    if (this.#text.charCodeAt(this.#position) === OPEN_BRACE) {
      const inner = innerKind(kind, key)
      if (inner !== undefined) return this.#object(inner, depth + 1)
    }
    return this.#skipValue(depth)
  }

  #note(kind: ObjectKind, key: string, start: number, end: number): void {
    const scan = this.#scan
    switch (kind) {
      case 'message':
        if (key === 'id') {
          scan.idStart = start
          scan.idEnd = end
        } else if (key === 'method') {
          scan.methodStart = start
          scan.methodEnd = end
        } else if (key === 'params') {
          scan.paramsStart = start
          scan.paramsEnd = end
        } else if (key === 'result') {
          scan.resultStart = start
          scan.resultEnd = end
        } else if (key === 'error') {
          scan.errorStart = start
          scan.errorEnd = end
        }
        return
      case 'params':
        if (key === 'name') {
          scan.nameStart = start
          scan.nameEnd = end
        } else if (key === '_meta') {
          scan.metaStart = start
          scan.metaEnd = end
        } else if (key === 'uri') {
          scan.uriStart = start
          scan.uriEnd = end
        } else if (key === 'requestId') {
          scan.requestIdStart = start
          scan.requestIdEnd = end
        } else if (key === 'progressToken') {
          scan.progressStart = start
          scan.progressEnd = end
        } else if (key === 'requestState') {
          scan.stateStart = start
          scan.stateEnd = end
        } else if (key === 'inputResponses') {
          scan.responsesStart = start
          scan.responsesEnd = end
        }
        return
      case 'result':
        if (key === 'isError') scan.isError = this.#text.charCodeAt(start) === 116
        else if (key === 'resultType') {
          scan.resultTypeStart = start
          scan.resultTypeEnd = end
        } else if (key === '_meta') {
          scan.resultMetaStart = start
          scan.resultMetaEnd = end
        } else if (key === 'ttlMs') scan.hasTtl = true
        else if (key === 'cacheScope') scan.hasCacheScope = true
        return
      case 'paramsMeta':
        if (key === 'progressToken') {
          scan.tokenStart = start
          scan.tokenEnd = end
        } else if (key === 'traceparent' || key === 'tracestate' || key === 'baggage') scan.hasTrace = true
        break
      case 'resultMeta':
        if (key === META_SERVER_INFO) scan.hasServerInfo = true
    }
    if (key === META_SUBSCRIPTION) {
      scan.subscriptionStart = start
      scan.subscriptionEnd = end
    }
  }

  /** Leaves the position behind the value; objects and arrays are crossed without recursion. */
  #skipValue(depth: number): boolean {
    const text = this.#text
    const first = text.charCodeAt(this.#position)
    if (first === QUOTE) {
      this.#position = stringEnd(text, this.#position)
      return this.#position > 0
    }
    if (first !== OPEN_BRACE && first !== OPEN_BRACKET) {
      const start = this.#position
      while (this.#position < text.length && !endsScalar(text.charCodeAt(this.#position))) this.#position++
      return this.#position > start
    }
    let open = 0
    let position = this.#position
    while (position < text.length) {
      const code = text.charCodeAt(position)
      if (code === QUOTE) {
        position = stringEnd(text, position)
        if (position < 0) return false
        continue
      }
      position++
      if (code === OPEN_BRACE || code === OPEN_BRACKET) {
        open++
        if (depth + open > this.#scan.depth) this.#scan.depth = depth + open
      } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
        if (--open === 0) {
          this.#position = position
          return true
        }
      }
    }
    return false
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#position)
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return
      this.#position++
    }
  }
}

/** Ranges of the elements of a JSON array (a batch of 2025-03-26), or `undefined` if `text` is none. */
export function scanArray(text: string): readonly (readonly [number, number])[] | undefined {
  const elements: [number, number][] = []
  let depth = 0
  let start = -1
  let position = 0
  while (position < text.length) {
    const code = text.charCodeAt(position)
    if (depth === 1 && start < 0 && !isSpace(code) && code !== CLOSE_BRACKET && code !== COMMA)
      start = position
    if (code === QUOTE) {
      position = stringEnd(text, position)
      if (position < 0) return undefined
      continue
    }
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth--
    if (start >= 0 && ((depth === 1 && code === COMMA) || depth === 0)) {
      elements.push([start, position])
      start = -1
    }
    position++
  }
  return depth === 0 ? elements : undefined
}

function innerKind(kind: ObjectKind, key: string): ObjectKind | undefined {
  if (kind === 'message') return key === 'params' ? 'params' : key === 'result' ? 'result' : undefined
  if (key !== '_meta') return undefined
  return kind === 'params' ? 'paramsMeta' : kind === 'result' ? 'resultMeta' : undefined
}

/** Position behind the closing quote of the string that opens at `start`, or -1. */
export function stringEnd(text: string, start: number): number {
  let from = start + 1
  for (;;) {
    const quote = text.indexOf('"', from)
    if (quote < 0) return -1
    let before = quote - 1
    while (text.charCodeAt(before) === BACKSLASH) before--
    if ((quote - before) % 2 === 1) return quote + 1
    from = quote + 1
  }
}

/** Two spellings of one name (`"id"`, `"i\u0064"`) are one name: the bytes of its characters, in latin1 like the text. */
export function memberName(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end - 1)
  return raw.includes('\\') ? unescapedName(raw) : raw
}

function unescapedName(raw: string): string {
  try {
    const name: unknown = JSON.parse(`"${Buffer.from(raw, 'latin1').toString()}"`)
    // half of a surrogate pair has no bytes of its own; it is above latin1 and so equal to no plainly written name
    return typeof name === 'string' && name.isWellFormed()
      ? Buffer.from(name).toString('latin1')
      : String(name)
  } catch {
    return raw
  }
}

function isSpace(code: number): boolean {
  return code === 32 || code === 10 || code === 13 || code === 9
}

function endsScalar(code: number): boolean {
  return code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET || isSpace(code)
}

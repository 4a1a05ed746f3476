import { memberName, stringEnd } from './scan-message.ts'
import type { Edit } from './splice.ts'

/** Where one member of an object stands: its key from `keyStart`, its value in `[valueStart, valueEnd)`. */
export interface ObjectMember {
  readonly name: string
  readonly keyStart: number
  readonly valueStart: number
  readonly valueEnd: number
}

const QUOTE = 34
const OPEN_BRACE = 123
const CLOSE_BRACE = 125
const OPEN_BRACKET = 91
const CLOSE_BRACKET = 93
const COMMA = 44

/**
 * The members of the object that opens at `start` of a JSON text, decoded as latin1 so that positions are byte offsets.
 * `undefined` if no object opens there or it does not close. Values are crossed, not built.
 */
export function objectMembers(text: string, start: number): readonly ObjectMember[] | undefined {
  if (text.charCodeAt(start) !== OPEN_BRACE) return undefined
  const members: ObjectMember[] = []
  let position = skipSpace(text, start + 1)
  while (text.charCodeAt(position) === QUOTE) {
    const keyEnd = stringEnd(text, position)
    if (keyEnd < 0) return undefined
    const valueStart = skipSpace(text, skipSpace(text, keyEnd) + 1)
    const valueEnd = endOfValue(text, valueStart)
    if (valueEnd < 0) return undefined
    members.push({ name: memberName(text, position, keyEnd), keyStart: position, valueStart, valueEnd })
    position = skipSpace(text, valueEnd)
    if (text.charCodeAt(position) !== COMMA) break
    position = skipSpace(text, position + 1)
  }
  return text.charCodeAt(position) === CLOSE_BRACE ? members : undefined
}

/** Edits that take members out of an object, each with the comma that is not needed any more. */
export function withoutMembers(
  members: readonly ObjectMember[],
  drops: (member: ObjectMember) => boolean,
): Edit[] {
  const edits: Edit[] = []
  let firstKept = 0
  for (let member = members[0]; member !== undefined && drops(member); member = members[firstKept])
    firstKept++
  const [first] = members
  const head = members[firstKept]
  const last = members.at(-1)
  if (first === undefined || last === undefined) return edits
  if (head === undefined) return [[first.keyStart, last.valueEnd, '']]
  if (firstKept > 0) edits.push([first.keyStart, head.keyStart, ''])
  let before = head
  for (const member of members.slice(firstKept + 1)) {
    if (drops(member)) edits.push([before.valueEnd, member.valueEnd, ''])
    before = member
  }
  return edits
}

function skipSpace(text: string, from: number): number {
  let position = from
  for (;;) {
    const code = text.charCodeAt(position)
    if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return position
    position++
  }
}

/** Position behind the value that begins at `start`, or -1. */
function endOfValue(text: string, start: number): number {
  const first = text.charCodeAt(start)
  if (first === QUOTE) return stringEnd(text, start)
  let position = start
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) {
    while (position < text.length && !endsScalar(text.charCodeAt(position))) position++
    return position > start ? position : -1
  }
  let open = 0
  while (position < text.length) {
    const code = text.charCodeAt(position)
    if (code === QUOTE) {
      position = stringEnd(text, position)
      if (position < 0) return -1
      continue
    }
    position++
    if (code === OPEN_BRACE || code === OPEN_BRACKET) open++
    else if ((code === CLOSE_BRACE || code === CLOSE_BRACKET) && --open === 0) return position
  }
  return -1
}

function endsScalar(code: number): boolean {
  return (
    code === COMMA ||
    code === CLOSE_BRACE ||
    code === CLOSE_BRACKET ||
    code === 32 ||
    code === 10 ||
    code === 13 ||
    code === 9
  )
}

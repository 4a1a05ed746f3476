import { memberName, stringEnd } from './scan-message.ts'

/** Where a member's value stands: `[start, end)`. */
export interface MemberPlace {
  readonly start: number
  readonly end: number
}

/**
 * The members of the object that opens at `start` of a JSON text that has been found valid, decoded as latin1; `undefined` if no
 * object opens there. For what {@link scanMessage} does not look for, because ordinary calls do not need it.
 */
export function membersAt(text: string, start: number): ReadonlyMap<string, MemberPlace> | undefined {
  if (text[start] !== '{') return undefined
  const members = new Map<string, MemberPlace>()
  let position = skipSpace(text, start + 1)
  while (text[position] === '"') {
    const keyEnd = stringEnd(text, position)
    const name = memberName(text, position, keyEnd)
    const valueStart = skipSpace(text, skipSpace(text, keyEnd) + 1)
    const valueEnd = endOfValue(text, valueStart)
    members.set(name, { start: valueStart, end: valueEnd })
    position = skipSpace(text, valueEnd)
    if (text[position] === ',') position = skipSpace(text, position + 1)
  }
  return members
}

function skipSpace(text: string, from: number): number {
  let position = from
  while (' \n\r\t'.includes(text[position] ?? '.')) position++
  return position
}

function endOfValue(text: string, start: number): number {
  let depth = 0
  let position = start
  while (position < text.length) {
    const character = text[position] ?? ''
    if (character === '"') {
      position = stringEnd(text, position)
      if (depth === 0) return position
      continue
    }
    if (depth === 0 && position > start && ',}] \n\r\t'.includes(character)) return position
    if (character === '{' || character === '[') depth++
    else if (character === '}' || character === ']') {
      depth--
      if (depth === 0) return position + 1
    }
    position++
  }
  return position
}

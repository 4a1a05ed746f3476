/**
 * The name of a member that an object in the message has twice, at any depth; `undefined` if there is none. RFC 8259
 * section 4 leaves open which of the two counts, so two readers may see two messages.
 *
 * `text` must be valid JSON, decoded as UTF-8: names are compared as they read once escapes are undone.
 */
export function repeatedMember(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = []
  let position = 0
  while (position < text.length) {
    const code = text.charCodeAt(position)
    if (code === 34) {
      const end = endOfString(text, position)
      const names = open.at(-1)
      if (names !== undefined && isFollowedByColon(text, end)) {
        const name = String(JSON.parse(text.slice(position, end)))
        if (names.has(name)) return name
        names.add(name)
      }
      position = end
      continue
    }
    if (code === 123) open.push(new Set())
    else if (code === 91) open.push(undefined)
    else if (code === 125 || code === 93) open.pop()
    position++
  }
  return undefined
}

function isFollowedByColon(text: string, from: number): boolean {
  let position = from
  while (text.charCodeAt(position) <= 32) position++
  return text.charCodeAt(position) === 58
}

function endOfString(text: string, start: number): number {
  let position = start + 1
  while (text.charCodeAt(position) !== 34) position += text.charCodeAt(position) === 92 ? 2 : 1
  return position + 1
}

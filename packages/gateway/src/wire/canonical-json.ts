/** JSON with members in one order, so that two spellings of one value are one text. `value` is what `JSON.parse` returned. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(ordered(value)) ?? 'null'
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1))
  // entries keep the order, but for names that look like indexes, which JavaScript puts first in every object
  return Object.fromEntries(members.map(([name, member]) => [name, ordered(member)]))
}

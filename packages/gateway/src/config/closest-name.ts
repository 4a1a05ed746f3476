/** The known name that was probably meant, or `undefined` if none is close. */
export function closestName(name: string, known: Iterable<string>): string | undefined {
  const plain = simplify(name)
  // A third of the letters may be wrong; more would be guessing.
  let best = Math.min(3, Math.ceil(plain.length / 3)) + 1
  let closest: string | undefined
  for (const candidate of known) {
    const distance = editDistance(plain, simplify(candidate), best)
    if (distance < best) {
      best = distance
      closest = candidate
    }
  }
  return closest
}

/** That there is nothing of this name, and what may have been meant. */
export function missing(what: string, name: string, known: readonly string[]): string {
  const meant = closestName(name, known)
  const hint = meant === undefined ? `known: ${known.join(', ') || 'none'}` : `did you mean "${meant}"?`
  return `there is no ${what} "${name}" (${hint})`
}

function simplify(name: string): string {
  return name.toLowerCase().replaceAll(/[-_ ]/g, '')
}

/** Levenshtein distance; anything from `limit` on is reported as `limit`. */
function editDistance(from: string, to: string, limit: number): number {
  if (Math.abs(from.length - to.length) >= limit) return limit
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const change = from[row - 1] === to[column - 1] ? 0 : 1
      const above = previous[column] ?? 0
      const left = current[column - 1] ?? 0
      const diagonal = previous[column - 1] ?? 0
      current.push(Math.min(above + 1, left + 1, diagonal + change))
    }
    previous = current
  }
  return Math.min(previous[to.length] ?? limit, limit)
}

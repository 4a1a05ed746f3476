/**
 * The slope of the line through points of which some may be far off: the median of the slopes between all pairs of them
 * (Theil–Sen). NaN for fewer than two.
 */
export function slopeOf(points: readonly { x: number; y: number }[]): number {
  const slopes = points
    .flatMap((from, index) => points.slice(index + 1).map((to) => (to.y - from.y) / (to.x - from.x)))
    .toSorted((a, b) => a - b)
  return slopes[slopes.length >> 1] ?? Number.NaN
}

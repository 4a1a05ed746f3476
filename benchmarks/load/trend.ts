import { median } from './latencies.ts'

export interface Point {
  x: number
  y: number
}

/**
 * The slope of the line through points of which some may be far off, as those of a heap between two collections are: the
 * median of the slopes between all pairs of them (Theil–Sen). NaN for fewer than two.
 */
export function slopeOf(points: readonly Point[]): number {
  const slopes: number[] = []
  points.forEach((from, index) => {
    for (const to of points.slice(index + 1)) {
      if (to.x !== from.x) slopes.push((to.y - from.y) / (to.x - from.x))
    }
  })
  return median(slopes)
}

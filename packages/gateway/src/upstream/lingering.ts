import { ShortLivedMap } from '../short-lived-map.ts'

/** A request that can be taken back. */
export interface Abortable {
  abort(): void
}

/** A server has this long to end an event stream after the response; then the connection is taken from it. */
const LINGER_MS = 1_000

/** When they were answered. */
const answered = new ShortLivedMap<Abortable, number>()
let timer: NodeJS.Timeout | undefined

/**
 * Takes the connection of an answered call back if the server keeps its stream open. One timer watches all of them: most streams end with
 * their response, and a timer for each would keep each call in memory for a second.
 */
export function releaseLater(request: Abortable | undefined): void {
  if (request === undefined) return
  answered.set(request, performance.now())
  timer ??= setTimeout(sweep, LINGER_MS).unref()
}

/** The server has ended the stream itself. */
export function hasEnded(request: Abortable): void {
  if (answered.size > 0) answered.delete(request)
}

function sweep(): void {
  timer = undefined
  const now = performance.now()
  for (const [request, since] of answered.entries()) {
    if (since + LINGER_MS > now) continue
    answered.delete(request)
    request.abort()
  }
  if (answered.size > 0) timer = setTimeout(sweep, LINGER_MS / 4).unref()
}

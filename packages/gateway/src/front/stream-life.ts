import type { Principal } from '@sallyport/core'

/** Proxies close connections that are quiet for longer. */
const KEEP_ALIVE_MS = 25_000

export interface StreamLife {
  readonly principal: Principal
  /** Clock in milliseconds since the epoch. */
  readonly now: () => number
  /** Says something that means nothing. */
  readonly keepAlive: () => void
  /** Whoever listens longer than the token allows has to prove itself again. */
  readonly expire: () => void
}

/** Looks after an event stream that waits for something to happen. The returned function ends that. */
export function attend({ principal, now, keepAlive, expire }: StreamLife): () => void {
  const leftMs = () => (principal.expiresAt ?? Number.POSITIVE_INFINITY) - now()
  let timer: NodeJS.Timeout
  const wait = () => {
    timer = setTimeout(
      () => {
        if (leftMs() <= 0) {
          expire()
          return
        }
        keepAlive()
        wait()
      },
      Math.max(1, Math.min(KEEP_ALIVE_MS, leftMs())),
    )
    timer.unref()
  }
  wait()
  return () => clearTimeout(timer)
}

import type { LoadWindow } from './load-window.ts'
import type { Session } from './session.ts'

export interface ClosedLoopOptions {
  sessions: readonly Session[]
  window: LoadWindow
  warmupMs: number
  durationMs: number
  drainMs: number
}

/**
 * Each session sends its next call as soon as the answer to the last one is in. It shows what the path can carry; its
 * latencies are those of a path that is always full. A call belongs to the window in which its answer came.
 */
export async function runClosedLoop({
  sessions,
  window,
  warmupMs,
  durationMs,
  drainMs,
}: ClosedLoopOptions): Promise<void> {
  let sequence = 0
  let stopping = false
  let running = sessions.length
  let finish: (drained: boolean) => void = () => undefined
  const finished = new Promise<boolean>((resolve) => {
    finish = resolve
  })

  const next = (session: Session) => {
    if (stopping) {
      running -= 1
      if (running === 0) finish(true)
      return
    }
    const sentAt = performance.now()
    session.call(sequence++, (problem) => {
      window.record(sentAt, problem)
      // A dead server refuses at once: without a pause the loop would do nothing but collect refusals.
      if (problem) setTimeout(next, 10, session)
      else next(session)
    })
  }
  for (const session of sessions) next(session)

  await delay(warmupMs)
  window.open()
  await delay(durationMs)
  window.close()
  stopping = true
  const drained = await Promise.race([finished, delay(drainMs).then(() => false)])
  if (!drained) window.unanswered(running)
}

export function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds)
  })
}

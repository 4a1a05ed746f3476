import { delay } from './closed-loop.ts'
import type { LoadWindow } from './load-window.ts'
import type { Session } from './session.ts'

export interface OpenLoopOptions {
  sessions: readonly Session[]
  window: LoadWindow
  warmupMs: number
  durationMs: number
  drainMs: number
  callsPerSecond: number
}

/**
 * Calls fall due at a fixed rate whatever the answers do, and latency counts from the due time. A call that finds every
 * session busy waits its turn and its waiting is part of its latency: a server that stalls is charged for every call
 * that fell due meanwhile, not for one (coordinated omission, G. Tene, "How NOT to Measure Latency").
 * A call belongs to the window in which it fell due, and one that is never answered is an error.
 */
export async function runOpenLoop(options: OpenLoopOptions): Promise<void> {
  const { sessions, window, warmupMs, durationMs, drainMs, callsPerSecond } = options
  const intervalMs = 1000 / callsPerSecond
  const idle = [...sessions]
  const waiting: number[] = []
  let waitingFrom = 0
  let sequence = 0
  const measuredCalls = Math.floor(durationMs / intervalMs)
  const warmupCalls = Math.floor(warmupMs / intervalMs)
  let answered = 0
  let finish: (drained: boolean) => void = () => undefined
  const finished = new Promise<boolean>((resolve) => {
    finish = resolve
  })

  const send = (session: Session, dueAt: number) => {
    const measured = sequence >= warmupCalls
    session.call(sequence++, (problem) => {
      // A wrong answer is one whenever it comes; what a right one took counts when it fell due in the window.
      if (measured || problem !== undefined) window.record(dueAt, problem)
      if (measured) {
        answered += 1
        if (answered === measuredCalls) finish(true)
      }
      const dueBefore = waiting[waitingFrom]
      if (dueBefore === undefined) idle.push(session)
      else {
        waitingFrom += 1
        send(session, dueBefore)
      }
    })
  }
  const startedAt = performance.now()
  const sendDue = async (from: number, to: number) => {
    for (let index = from; index < to; ) {
      const now = performance.now()
      for (; index < to && startedAt + index * intervalMs <= now; index++) {
        const dueAt = startedAt + index * intervalMs
        const session = idle.pop()
        if (session) send(session, dueAt)
        else waiting.push(dueAt)
      }
      await delay(1)
    }
  }
  await sendDue(0, warmupCalls)
  window.open()
  await sendDue(warmupCalls, warmupCalls + measuredCalls)
  window.close()
  const drained = await Promise.race([finished, delay(drainMs).then(() => false)])
  if (!drained) window.unanswered(measuredCalls - answered)
}

import type { Session } from './session.ts'

export interface NeighbourOptions {
  sessions: readonly Session[]
  callsPerSecond: number
  /** Whether the server is one that never answers. */
  hangs: boolean
  /** A call that was not answered by then is given up, and its connection closed. */
  patienceMs: number
}

export interface NeighbourReport {
  sent: number
  answered: number
  /** Answered with an error, which of a server that hangs is the gateway's and welcome. */
  refused: number
  givenUp: number
  /** Due when all sessions were still waiting, and so never sent. */
  skipped: number
}

/**
 * Calls to the server beside the one that is measured, at a fixed rate, whatever becomes of them. One that answers has to
 * answer rightly; one that hangs must not have answers.
 */
export class NeighbourLoad {
  readonly report: NeighbourReport = { sent: 0, answered: 0, refused: 0, givenUp: 0, skipped: 0 }
  readonly problems: string[] = []
  readonly #options: NeighbourOptions
  readonly #idle: Session[]
  readonly #waiting = new Map<Session, NodeJS.Timeout>()
  readonly #startedAt = performance.now()
  readonly #timer: NodeJS.Timeout
  #due = 0
  #sequence = 0

  constructor(options: NeighbourOptions) {
    this.#options = options
    this.#idle = [...options.sessions]
    this.#timer = setInterval(() => this.#sendDue(), 2)
  }

  /** Gives up what is in flight. */
  stop(): void {
    clearInterval(this.#timer)
    for (const [session, patience] of this.#waiting) {
      clearTimeout(patience)
      session.giveUp()
    }
    this.#waiting.clear()
  }

  #sendDue(): void {
    const dueByNow = ((performance.now() - this.#startedAt) * this.#options.callsPerSecond) / 1000
    for (; this.#due < dueByNow; this.#due++) {
      const session = this.#idle.pop()
      if (session) this.#send(session)
      else this.report.skipped += 1
    }
  }

  #send(session: Session): void {
    this.report.sent += 1
    const patience = setTimeout(() => this.#giveUp(session), this.#options.patienceMs)
    this.#waiting.set(session, patience)
    session.call(this.#sequence++, (problem) => {
      clearTimeout(patience)
      this.#waiting.delete(session)
      this.#idle.push(session)
      if (problem === undefined) this.report.answered += 1
      else this.report.refused += 1
      const unexpected = this.#options.hangs
        ? problem === undefined && 'the hanging server answered'
        : problem
      if (unexpected) this.problems.push(unexpected)
    })
  }

  #giveUp(session: Session): void {
    this.#waiting.delete(session)
    session.giveUp()
    this.report.givenUp += 1
    if (!this.#options.hangs) this.problems.push('a call to the neighbour was not answered in time')
    this.#idle.push(session)
  }
}

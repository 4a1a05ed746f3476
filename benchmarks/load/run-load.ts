import { type TokenSigning, signToken } from './bearer-token.ts'
import { runClosedLoop } from './closed-loop.ts'
import { LoadWindow, type LoadReport } from './load-window.ts'
import { NeighbourLoad, type NeighbourOptions } from './neighbour-load.ts'
import { runOpenLoop } from './open-loop.ts'
import { type Dialect, type Session, type Workload, openSession } from './session.ts'

/** One measurement, as it is sent to the generator's process. */
export interface LoadJob {
  url: string
  dialect: Dialect
  workload: Workload
  connections: number
  /** Closed loop when absent. */
  callsPerSecond?: number
  warmupMs: number
  durationMs: number
  /** How long answers may still come after the window. */
  drainMs: number
  /** Calls to another server of the gateway, beside those that are measured. */
  neighbour?: NeighbourJob
  tokens?: TokenSigning
  processId?: number
  participantIds?: readonly number[]
}

export interface NeighbourJob extends Omit<NeighbourOptions, 'sessions'> {
  url: string
  connections: number
}

const sessionLimitMs = 30_000

export async function runLoad(job: LoadJob): Promise<LoadReport> {
  const { connections, warmupMs, durationMs, drainMs, callsPerSecond } = job
  const opened = await openSessions(job, connections)
  const neighbour = job.neighbour && (await startNeighbour(job, job.neighbour))
  const window = new LoadWindow({
    counts: callsPerSecond === undefined ? 'window' : 'always',
    ...(job.processId !== undefined && { processId: job.processId }),
    ...(job.participantIds && { participantIds: job.participantIds }),
  })
  const loop = { sessions: opened, window, warmupMs, durationMs, drainMs }
  if (callsPerSecond === undefined) await runClosedLoop(loop)
  else await runOpenLoop({ ...loop, callsPerSecond })
  neighbour?.load.stop()
  await closeSessions([...opened, ...(neighbour?.sessions ?? [])])
  const report = window.report()
  if (!neighbour) return report
  const { problems, report: neighbourReport } = neighbour.load
  return {
    ...report,
    errors: report.errors + problems.length,
    problems: [...report.problems, ...problems.slice(0, 1)],
    neighbour: neighbourReport,
  }
}

async function startNeighbour(job: LoadJob, options: NeighbourJob) {
  const sessions = await openSessions({ ...job, url: options.url }, options.connections)
  return { sessions, load: new NeighbourLoad({ ...options, sessions }) }
}

function openSessions({ url, dialect, workload, tokens }: LoadJob, count: number): Promise<Session[]> {
  const open = async (_: unknown, index: number) => {
    const token = tokens && (await signToken(tokens, `client-${index}`))
    return openSession({ url, dialect, workload, ...(token !== undefined && { token }) })
  }
  return withLimit(
    Promise.all(Array.from({ length: count }, open)),
    sessionLimitMs,
    `${count} sessions with ${url}`,
  )
}

async function closeSessions(sessions: readonly Session[]): Promise<void> {
  await withLimit(Promise.all(sessions.map((session) => session.close())), sessionLimitMs, 'closing sessions')
}

async function withLimit<T>(work: Promise<T>, limitMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${limitMs} ms`)), limitMs)
  })
  try {
    return await Promise.race([work, limit])
  } finally {
    clearTimeout(timer)
  }
}

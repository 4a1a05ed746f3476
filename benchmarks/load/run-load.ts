import { type TokenSigning, signToken } from './bearer-token.ts'
import { runClosedLoop } from './closed-loop.ts'
import { LoadWindow, type LoadReport } from './load-window.ts'
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
  tokens?: TokenSigning
  processId?: number
  participantIds?: readonly number[]
}

const sessionLimitMs = 30_000

export async function runLoad(job: LoadJob): Promise<LoadReport> {
  const { connections, warmupMs, durationMs, drainMs, callsPerSecond } = job
  const opened = await withLimit(
    Promise.all(Array.from({ length: connections }, (_, index) => openJobSession(job, index))),
    sessionLimitMs,
    `${connections} sessions with ${job.url}`,
  )
  const window = new LoadWindow({
    counts: callsPerSecond === undefined ? 'window' : 'always',
    ...(job.processId !== undefined && { processId: job.processId }),
    ...(job.participantIds && { participantIds: job.participantIds }),
  })
  const loop = { sessions: opened, window, warmupMs, durationMs, drainMs }
  if (callsPerSecond === undefined) await runClosedLoop(loop)
  else await runOpenLoop({ ...loop, callsPerSecond })
  await withLimit(Promise.all(opened.map((session) => session.close())), sessionLimitMs, 'closing sessions')
  return window.report()
}

async function openJobSession({ url, dialect, workload, tokens }: LoadJob, index: number): Promise<Session> {
  const token = tokens && (await signToken(tokens, `client-${index}`))
  return openSession({ url, dialect, workload, ...(token !== undefined && { token }) })
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

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startGateway } from './gateway-under-soak.ts'
import { type LegacyClient, openClient, textOf } from './legacy-client.ts'
import { collectGarbage, MemoryWatch } from './memory-watch.ts'
import { slopeOf } from './slope.ts'

export interface RestartOptions {
  /** Ends after so many restarts, or at this time (milliseconds, as of `performance.now()`), whichever comes first. */
  restarts?: number
  until?: number
}

export interface RestartFigures {
  restarts: number
  /** Calls that were refused while a server was not up again, and tried once more. */
  retries: number
  seconds: number
  residentBytesPerRestart: number
  residentBytesAtBegin: number
  residentBytesAtEnd: number
  processesAtBegin: number
  processesAtEnd: number
  openFilesAtBegin: number
  openFilesAtEnd: number
  heapGrowthMb: number
}

const tinyServer = join(import.meta.dirname, 'tiny-server.sh')
/** Several, so that a pause which the gateway makes before it starts one again does not stop the test. */
const SERVERS = 8
/** What the first starts leave behind for good: compiled code, and pools that have grown to their size. */
const WARMUP_RESTARTS = 200
const RETRY_LIMIT_MS = 60_000

/** A server that ends again and again is started again, its calls fail or succeed but never hang, and no process is left. */
export async function childRestarts(until: number): Promise<string> {
  const { restarts, residentBytesPerRestart, heapGrowthMb } = await restartChildren({ until })
  return `${restarts} restarts, no process left, ${residentBytesPerRestart.toFixed(0)} bytes of resident memory per restart, the live heap changed by ${heapGrowthMb.toFixed(1)} MB`
}

/** Throws when a process is left, a call hangs or is answered by the wrong process, or the live heap grows. */
export async function restartChildren({
  restarts: wanted = Number.POSITIVE_INFINITY,
  until = Number.POSITIVE_INFINITY,
}: RestartOptions): Promise<RestartFigures> {
  const names = Array.from({ length: SERVERS }, (_, index) => `tiny${index}`)
  const gateway = await startGateway(
    Object.fromEntries(names.map((name) => [name, { command: '/bin/sh', args: [tinyServer] }])),
  )
  const memory = new MemoryWatch()
  const pids = new Set<number>()
  const resident: { x: number; y: number }[] = []
  const startedAt = performance.now()
  let begun: Resources | undefined
  let heapGrowthMb = 0
  let retries = 0
  let restarts = 0
  const count = { retried: () => retries++ }
  let figures: RestartFigures
  try {
    const clients = await Promise.all(names.map((name) => openClient(`${gateway.url}/${name}`)))
    while (performance.now() < until && restarts < wanted + WARMUP_RESTARTS) {
      const ended = await Promise.all(clients.map((client) => restartOnce(client, count)))
      for (const pid of ended) pids.add(pid)
      restarts += ended.length
      if (restarts < WARMUP_RESTARTS || restarts % 40 !== 0) continue
      heapGrowthMb = memory.check(`after ${restarts} restarts`, 10)
      resident.push({ x: restarts, y: process.memoryUsage().rss })
      begun ??= await quietResources()
    }
    if (pids.size < restarts) throw new Error(`${restarts} restarts, but only ${pids.size} processes`)
    collectGarbage()
    const end = await quietResources()
    begun ??= end
    figures = {
      restarts: restarts - WARMUP_RESTARTS,
      retries,
      seconds: Math.round((performance.now() - startedAt) / 1000),
      residentBytesPerRestart: slopeOf(resident),
      residentBytesAtBegin: begun.residentBytes,
      residentBytesAtEnd: end.residentBytes,
      processesAtBegin: begun.processes,
      processesAtEnd: end.processes,
      openFilesAtBegin: begun.openFiles,
      openFilesAtEnd: end.openFiles,
      heapGrowthMb,
    }
  } finally {
    await gateway.close()
  }
  const left = [...pids].filter((pid) => existsSync(`/proc/${pid}`))
  if (left.length > 0) throw new Error(`processes are left: ${left.join(', ')}`)
  return figures
}

/** Asks a server for its process id, then ends it. */
async function restartOnce(client: LegacyClient, count: { retried(): void }): Promise<number> {
  const deadline = performance.now() + RETRY_LIMIT_MS
  for (;;) {
    const answer = textOf(await client.call('process', {}))
    if (/^\d+$/.test(answer)) {
      const ended = JSON.stringify(await client.call('exit', {}))
      if (!ended.includes('ERR_UPSTREAM_UNAVAILABLE')) throw new Error(`a call outlived its server: ${ended}`)
      return Number(answer)
    }
    if (!answer.includes('ERR_UPSTREAM_UNAVAILABLE') || performance.now() > deadline)
      throw new Error(`the server did not tell its process id: ${answer}`)
    count.retried()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

interface Resources {
  residentBytes: number
  processes: number
  openFiles: number
}

/** What this process, in which the gateway runs, holds when the last servers have ended, which may take them a moment. */
async function quietResources(): Promise<Resources> {
  for (const deadline = performance.now() + 2_000; ; ) {
    const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').split(' ')
    const processes = children.filter((id) => id.trim() !== '').length
    if (processes === 0 || performance.now() > deadline) {
      const openFiles = readdirSync('/proc/self/fd').length
      return { residentBytes: process.memoryUsage().rss, processes, openFiles }
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

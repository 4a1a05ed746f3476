import { join } from 'node:path'
import { type Generator, startGenerator } from '../load/generator-client.ts'
import type { LoadReport } from '../load/load-window.ts'
import type { Workload } from '../load/session.ts'
import { type PathRequest, type RunningPath, keyOf } from '../paths/path.ts'
import { installPeers, isPeer } from '../paths/peers.ts'
import { startPath } from '../paths/start-path.ts'
import { type Launched, announcedUrl, launch } from './launch.ts'

export interface BenchOptions {
  rounds: number
  secondsPerCell: number
  /** Progress, one line at a time. */
  report(line: string): void
}

/** One column of a group: a path, and which of its endpoints. */
export interface Contender extends PathRequest {
  label: string
  aggregated?: boolean
}

export interface Group {
  title: string
  contenders: readonly Contender[]
  connections: number
  /** Open loop at this rate; closed loop when absent. */
  callsPerSecond?: number
  workload?: Workload
}

/** What each contender did in each round; a contender that could not run has no entry. */
export type GroupReports = ReadonlyMap<string, LoadReport[]>

export interface Bench {
  readonly rounds: number
  runGroup(group: Group): Promise<GroupReports>
  /** A path as it is started for measuring; kept and shared until the bench ends. */
  path(request: PathRequest): Promise<RunningPath>
  /** Starts a path anew, for those who measure starting. The caller stops it. */
  freshPath(request: PathRequest, profileFile?: string): Promise<RunningPath>
  load(
    contender: Contender,
    path: RunningPath,
    group: Omit<Group, 'title' | 'contenders'>,
  ): Promise<LoadReport>
  /** Why a path could not run, and answers that were wrong: with any of these the run is not a good one. */
  readonly faults: readonly string[]
  addFault(fault: string): void
  report(line: string): void
  stop(): Promise<void>
}

const firstWarmupMs = 1_500
const warmupMs = 400
const drainMs = 5_000

export function createBench({ rounds, secondsPerCell, report }: BenchOptions): Bench {
  const generator: Generator = startGenerator()
  const upstreams = new Map<string, Promise<Launched>>()
  const paths = new Map<string, Promise<RunningPath>>()
  const faults: string[] = []
  const addFault = (fault: string) => {
    if (!faults.includes(fault)) faults.push(fault)
  }
  const warm = new Set<number>()

  const upstream = (era: PathRequest['era']) => {
    const started = upstreams.get(era) ?? launchUpstream(era)
    upstreams.set(era, started)
    return started
  }

  const freshPath = async (request: PathRequest, profileFile?: string): Promise<RunningPath> => {
    const server = await upstream(request.era)
    const upstreamUrl = announcedUrl(server.output()) ?? ''
    if (request.name === 'direct') {
      const dialect = request.era === 'modern' ? 'stateless' : 'session'
      return {
        url: upstreamUrl,
        dialect,
        processId: server.processId,
        startMs: 0,
        stop: async () => undefined,
      }
    }
    if (isPeer(request.name)) await installPeers(report)
    return startPath({ ...request, upstreamUrl, ...(profileFile !== undefined && { profileFile }) })
  }

  const path = (request: PathRequest) => {
    const key = keyOf(request)
    const started = paths.get(key) ?? freshPath(request)
    paths.set(key, started)
    return started
  }

  const load: Bench['load'] = async (contender, running, { connections, callsPerSecond, workload }) => {
    const server = await upstream(contender.era)
    const first = !warm.has(running.processId)
    warm.add(running.processId)
    return generator.run({
      url: contender.aggregated ? (running.aggregatedUrl ?? running.url) : running.url,
      dialect: running.dialect,
      workload: workload ?? { kind: 'echo', paddingBytes: 0 },
      connections,
      ...(callsPerSecond !== undefined && { callsPerSecond }),
      warmupMs: first ? firstWarmupMs : warmupMs,
      durationMs: secondsPerCell * 1000,
      drainMs,
      ...(running.tokens && { tokens: running.tokens }),
      processId: running.processId,
      participantIds: contender.name === 'direct' || contender.upstream === 'stdio' ? [] : [server.processId],
    })
  }

  const runGroup = async (group: Group): Promise<GroupReports> => {
    const reports = new Map<string, LoadReport[]>()
    const failed = new Set<string>()
    for (let round = 0; round < rounds; round++) {
      report(`${group.title}: round ${round + 1} of ${rounds}`)
      // Each round begins with another contender, so that none always runs after the same one.
      for (const contender of rotate(group.contenders, round)) {
        if (failed.has(contender.label)) continue
        try {
          const result = await load(contender, await path(contender), group)
          reports.set(contender.label, [...(reports.get(contender.label) ?? []), result])
          if (result.errors > 0)
            addFault(`${contender.label}: ${result.errors} errors: ${result.problems[0]} (${group.title})`)
        } catch (error) {
          // One path that does not run must not take the others' rows with it.
          failed.add(contender.label)
          reports.delete(contender.label)
          addFault(`${contender.label}: ${error instanceof Error ? error.message : String(error)}`)
        }
      }
    }
    return reports
  }

  return {
    rounds,
    faults,
    addFault,
    report,
    path,
    freshPath,
    load,
    runGroup,
    async stop() {
      generator.stop()
      const started = await Promise.allSettled([...paths.values(), ...upstreams.values()])
      await Promise.all(
        started.map(async (result) => {
          if (result.status === 'fulfilled') await result.value.stop()
        }),
      )
    },
  }
}

function launchUpstream(era: PathRequest['era']): Promise<Launched> {
  return launch({
    name: `upstream (${era})`,
    command: process.execPath,
    args: [join(import.meta.dirname, '..', 'upstreams', 'raw-http.ts'), '--era', era],
    ready: (output) => announcedUrl(output) !== undefined,
  })
}

function rotate<T>(items: readonly T[], by: number): T[] {
  const shift = by % items.length
  return [...items.slice(shift), ...items.slice(0, shift)]
}

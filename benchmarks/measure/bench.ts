import { join } from 'node:path'
import { type Generator, startGenerator } from '../load/generator-client.ts'
import type { LoadReport } from '../load/load-window.ts'
import type { NeighbourJob } from '../load/run-load.ts'
import { type PathRequest, type RunningPath, keyOf } from '../paths/path.ts'
import { installPeers, isPeer } from '../paths/peers.ts'
import { type Instruments, startPath } from '../paths/start-path.ts'
import {
  type EchoServerSettings,
  neighbourServer,
  upstreamKinds,
  type UpstreamSet,
  workloadOf,
} from '../upstreams/upstream-kinds.ts'
import { type Launched, announcedUrl, launch } from './launch.ts'

export interface BenchOptions {
  rounds: number
  secondsPerCell: number
  /** Progress, one line at a time. */
  report(line: string): void
}

/** One line of a group's table: a path, and which of its endpoints. */
export interface Contender extends PathRequest {
  label: string
  aggregated?: boolean
}

export interface Cell {
  connections: number
  /** Open loop at this rate; closed loop when absent. */
  callsPerSecond?: number
  /** Calls to the server called `neighbour`, beside those that are measured. */
  neighbour?: { callsPerSecond: number; connections: number; patienceMs: number }
  /** How many times as long as other cells it is measured: a p99 of few calls needs more time. */
  lengths?: number
}

export interface Group extends Cell {
  title: string
  contenders: readonly Contender[]
}

/** What each contender did in each round; a contender that could not run has no entry. */
export type GroupReports = ReadonlyMap<string, LoadReport[]>

export interface Bench {
  readonly rounds: number
  readonly secondsPerCell: number
  runGroup(group: Group): Promise<GroupReports>
  /** A path as it is started for measuring; kept and shared until it is released. */
  path(request: PathRequest): Promise<RunningPath>
  /** Starts a path anew, for those who measure starting. The caller stops it. */
  freshPath(request: PathRequest, instruments?: Instruments): Promise<RunningPath>
  load(contender: Contender, path: RunningPath, cell: Cell): Promise<LoadReport>
  /** Ends the paths and upstreams that were started so far: a row is then measured the same way alone and among others. */
  release(): Promise<void>
  /** Why a path could not run, and answers that were wrong: with any of these the run is not a good one. */
  readonly faults: readonly string[]
  addFault(fault: string): void
  /** Most cores that strangers used while a cell was measured. */
  readonly strangersCores: number | undefined
  report(line: string): void
  stop(): Promise<void>
}

const firstWarmupMs = 1_500
const warmupMs = 400
const drainMs = 5_000

export function createBench({ rounds, secondsPerCell, report }: BenchOptions): Bench {
  const generator: Generator = startGenerator()
  const upstreams = new Map<string, Promise<Launched>[]>()
  const paths = new Map<string, Promise<RunningPath>>()
  const faults: string[] = []
  const addFault = (fault: string) => {
    if (!faults.includes(fault)) faults.push(fault)
  }
  const warm = new Set<number>()
  let strangersCores: number | undefined

  const upstreamsOf = ({ upstream, era }: PathRequest): Promise<Launched[]> => {
    const { transport, servers }: UpstreamSet = upstreamKinds[upstream]
    // Over stdio they are started by the path under test.
    if (transport === 'stdio') return Promise.resolve([])
    const key = `${upstream}.${era}`
    const started = upstreams.get(key) ?? Object.values(servers).map((server) => launchUpstream(server, era))
    upstreams.set(key, started)
    return Promise.all(started)
  }

  const freshPath: Bench['freshPath'] = async (request, instruments) => {
    const names = Object.keys(upstreamKinds[request.upstream].servers)
    const launched = await upstreamsOf(request)
    const urls = launched.map((server, index) => [names[index], announcedUrl(server.output()) ?? ''])
    const [first] = launched
    if (request.name === 'direct') {
      if (!first) throw new Error('direct is the first HTTP upstream')
      return {
        url: announcedUrl(first.output()) ?? '',
        dialect: request.era === 'modern' ? 'stateless' : 'session',
        processId: first.processId,
        startMs: 0,
        stop: async () => undefined,
      }
    }
    if (isPeer(request.name)) await installPeers(report)
    return startPath({
      ...request,
      upstreamUrls: Object.fromEntries(urls),
      ...(instruments && { instruments }),
    })
  }

  const path = (request: PathRequest) => {
    const key = keyOf(request)
    const started = paths.get(key) ?? freshPath(request)
    paths.set(key, started)
    return started
  }

  const load: Bench['load'] = async (contender, running, cell) => {
    const { connections, callsPerSecond, neighbour, lengths = 1 } = cell
    const servers = await upstreamsOf(contender)
    const first = !warm.has(running.processId)
    warm.add(running.processId)
    const result = await generator.run({
      url: contender.aggregated ? (running.aggregatedUrl ?? running.url) : running.url,
      dialect: running.dialect,
      workload: workloadOf(contender.upstream),
      connections,
      ...(callsPerSecond !== undefined && { callsPerSecond }),
      ...(neighbour && { neighbour: neighbourJob(contender, running, neighbour) }),
      warmupMs: (first ? firstWarmupMs : warmupMs) + (neighbour?.patienceMs ?? 0),
      durationMs: secondsPerCell * 1000 * lengths,
      drainMs,
      ...(running.tokens && { tokens: running.tokens }),
      processId: running.processId,
      participantIds: servers.map(({ processId }) => processId).filter((id) => id !== running.processId),
    })
    if (result.cpu) strangersCores = Math.max(strangersCores ?? 0, result.cpu.strangersCores)
    return result
  }

  const release = async () => {
    const started = await Promise.allSettled([...paths.values(), ...[...upstreams.values()].flat()])
    paths.clear()
    upstreams.clear()
    await Promise.all(
      started.map(async (result) => {
        if (result.status === 'fulfilled') await result.value.stop()
      }),
    )
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
    secondsPerCell,
    faults,
    get strangersCores() {
      return strangersCores
    },
    addFault,
    report,
    path,
    freshPath,
    load,
    runGroup,
    release,
    async stop() {
      generator.stop()
      await release()
    },
  }
}

function neighbourJob(
  { upstream }: Contender,
  { serverUrls }: RunningPath,
  neighbour: NonNullable<Cell['neighbour']>,
): NeighbourJob {
  const url = serverUrls?.[neighbourServer]
  if (url === undefined) throw new Error(`there is no server called ${neighbourServer} on this path`)
  return { ...neighbour, url, hangs: upstream === 'with-hanging' }
}

function launchUpstream(settings: EchoServerSettings, era: PathRequest['era']): Promise<Launched> {
  const { answer = 'json', paddingBytes = 0, toolCount = 1, namedAfterServers = 0, hangs } = settings
  return launch({
    name: `upstream (${era})`,
    command: process.execPath,
    args: [
      join(import.meta.dirname, '..', 'upstreams', 'raw-http.ts'),
      ...['--era', era, '--answer', answer, '--padding', String(paddingBytes)],
      ...['--tools', String(toolCount), '--named-after', String(namedAfterServers)],
      ...(hangs ? ['--hang'] : []),
    ],
    ready: (output) => announcedUrl(output) !== undefined,
  })
}

function rotate<T>(items: readonly T[], by: number): T[] {
  const shift = by % items.length
  return [...items.slice(shift), ...items.slice(0, shift)]
}

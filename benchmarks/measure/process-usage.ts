import { readFileSync, readdirSync } from 'node:fs'

/** CPU time so far, in microseconds, from /proc (Linux; undefined elsewhere). */
export interface CpuSample {
  ownMicros: number
  treeMicros: number
  generatorMicros: number
  participantsMicros: number
  machineMicros: number
  atMs: number
  rssBytes: number
  treeRssBytes: number
}

export interface CpuUse {
  /** The process under test alone. */
  ownMicros: number
  /** With its descendants: a stdio server runs as a child of the process under test. */
  treeMicros: number
  generatorMicros: number
  /** Cores used by processes that have nothing to do with the benchmark. */
  strangersCores: number
  rssBytes: number
  treeRssBytes: number
}

interface ProcessStat {
  id: number
  parentId: number
  micros: number
  rssBytes: number
}

/** Linux counts in hundredths of a second wherever Node runs (USER_HZ), pages of 4 KiB on the machines in use. */
const microsPerTick = 10_000
const bytesPerPage = 4096

export function sampleCpu(processId?: number, participantIds: readonly number[] = []): CpuSample | undefined {
  const machineMicros = readMachineMicros()
  if (machineMicros === undefined) return undefined
  const all = readProcesses()
  const tree = processId === undefined ? [] : descendants(all, processId)
  const participants = participantIds.flatMap((id) => descendants(all, id))
  const own = tree.find(({ id }) => id === processId)
  const { user, system } = process.cpuUsage()
  return {
    ownMicros: own?.micros ?? 0,
    treeMicros: sum(tree.map(({ micros }) => micros)),
    generatorMicros: user + system,
    participantsMicros: sum(participants.map(({ micros }) => micros)),
    machineMicros,
    atMs: performance.now(),
    rssBytes: own?.rssBytes ?? 0,
    treeRssBytes: sum(tree.map(({ rssBytes }) => rssBytes)),
  }
}

export function cpuSince(before: CpuSample, after: CpuSample): CpuUse {
  const treeMicros = after.treeMicros - before.treeMicros
  const generatorMicros = after.generatorMicros - before.generatorMicros
  const ours = treeMicros + generatorMicros + after.participantsMicros - before.participantsMicros
  const elapsedMicros = (after.atMs - before.atMs) * 1000
  return {
    ownMicros: after.ownMicros - before.ownMicros,
    treeMicros,
    generatorMicros,
    strangersCores: Math.max(0, (after.machineMicros - before.machineMicros - ours) / elapsedMicros),
    rssBytes: after.rssBytes,
    treeRssBytes: after.treeRssBytes,
  }
}

/** Resident memory of one process; undefined where /proc does not say. */
export function residentBytes(processId: number): number | undefined {
  return readProcess(String(processId))?.rssBytes
}

/** The process and everything it started, itself first. */
export function processTree(processId: number): number[] {
  return descendants(readProcesses(), processId).map(({ id }) => id)
}

function descendants(all: readonly ProcessStat[], rootId: number): ProcessStat[] {
  const found = all.filter(({ id }) => id === rootId)
  for (const parent of found) found.push(...all.filter(({ parentId }) => parentId === parent.id))
  return found
}

function readProcesses(): ProcessStat[] {
  let names: string[]
  try {
    names = readdirSync('/proc')
  } catch {
    return []
  }
  return names.flatMap((name) => (/^\d+$/.test(name) ? (readProcess(name) ?? []) : []))
}

function readProcess(id: string): ProcessStat | undefined {
  const text = read(`/proc/${id}/stat`)
  if (text === undefined) return undefined
  // The second field is the command in parentheses and may hold anything, spaces and parentheses too (proc(5)).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const field = (number: number) => Number(fields[number - 3])
  return {
    id: Number(id),
    parentId: field(4),
    // utime, stime, and the same of children already waited for.
    micros: (field(14) + field(15) + field(16) + field(17)) * microsPerTick,
    rssBytes: field(24) * bytesPerPage,
  }
}

function readMachineMicros(): number | undefined {
  const line = read('/proc/stat')?.split('\n', 1)[0]
  const [user, nice, system, , , interrupt, softInterrupt] =
    line?.trim().split(/\s+/).slice(1).map(Number) ?? []
  if (user === undefined) return undefined
  return ((user ?? 0) + (nice ?? 0) + (system ?? 0) + (interrupt ?? 0) + (softInterrupt ?? 0)) * microsPerTick
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

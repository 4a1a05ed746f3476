import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench, Contender } from './measure/bench.ts'
import { type ProfileShare, summariseProfile } from './measure/cpu-profile.ts'
import { cpuPerCall } from './measure/rows.ts'
import { delay } from './load/closed-loop.ts'
import { type PathName, pathNames } from './paths/path.ts'
import { type UpstreamKind, upstreamKinds } from './upstreams/upstream-kinds.ts'

export interface ProfileOptions {
  bench: Bench
  /** `sallyport`, `sallyport.stdio`, `bare-proxy.modern`, `sallyport.aggregated` … */
  target: string
  connections: number
  print(text: string): void
}

/** Profiles one path under load and says where its time went. The file opens in Chrome's or VS Code's profile viewer. */
export async function profilePath({ bench, target, connections, print }: ProfileOptions): Promise<void> {
  const contender = parseTarget(target)
  const folder = join(import.meta.dirname, 'profiles')
  const file = join(folder, `${target}.${connections}.cpuprofile`)
  mkdirSync(folder, { recursive: true })
  rmSync(file, { force: true })
  const path = await bench.freshPath(contender, { profileFile: file })
  try {
    bench.report('warming up')
    const plain = await bench.load(contender, path, { connections })
    bench.report('profiling')
    process.kill(path.processId, 'SIGUSR2')
    const profiled = await bench.load(contender, path, { connections })
    process.kill(path.processId, 'SIGUSR2')
    await fileExists(file)
    for (const [what, report] of [
      ['profiler off', plain],
      ['profiler on', profiled],
    ] as const) {
      const { callsPerSecond, errors, problems } = report
      print(
        `${what}: ${callsPerSecond.toFixed(0)} calls/s, ${cpuPerCall(report).toFixed(1)} µs CPU per call, ${errors} errors`,
      )
      if (errors > 0) bench.addFault(problems[0] ?? 'errors')
    }
  } finally {
    await path.stop()
  }
  const { byPackage, byFile, byFrame } = summariseProfile(file)
  print(section('own time by package', byPackage, 20))
  print(section('own time by file', byFile, 25))
  print(section('own time by function', byFrame, 40))
  print(`\n${file}`)
}

function parseTarget(target: string): Contender {
  const [first, ...rest] = target.split('.')
  const name = pathNames.find(
    (candidate): candidate is PathName => candidate === first && candidate !== 'direct',
  )
  const isKind = (word: string): word is UpstreamKind => Object.hasOwn(upstreamKinds, word)
  const unknown = rest.find((word) => !isKind(word) && !['legacy', 'modern', 'aggregated'].includes(word))
  if (!name || unknown !== undefined)
    throw new Error(`cannot profile ${target}; say for example sallyport, sallyport.stdio, bare-proxy`)
  return {
    label: target,
    name,
    upstream: rest.find(isKind) ?? (name === 'supergateway' ? 'stdio' : 'http'),
    era: rest.includes('modern') ? 'modern' : 'legacy',
    aggregated: rest.includes('aggregated'),
  }
}

async function fileExists(file: string): Promise<void> {
  for (const deadline = performance.now() + 30_000; !existsSync(file); await delay(20)) {
    if (performance.now() > deadline) throw new Error('the process wrote no profile')
  }
}

function section(title: string, shares: readonly ProfileShare[], limit: number): string {
  const lines = shares
    .slice(0, limit)
    .map(({ name, percent }) => `  ${percent.toFixed(1).padStart(5)} %  ${name}`)
  return `\n${title}\n${lines.join('\n')}`
}

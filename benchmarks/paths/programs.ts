import { execFile } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** The programs of ours that run as paths, or inside of one, as files below benchmarks/. */
const programs = {
  sallyport: 'sallyport-gateway.ts',
  'bare-proxy': 'paths/bare-proxy.ts',
  'stream-proxy': 'paths/stream-proxy.ts',
  'sdk-pair': 'paths/sdk-pair.ts',
  'collect-agent': 'measure/collect-agent.ts',
} as const

export type ProgramName = keyof typeof programs

const folder = join(import.meta.dirname, '..')
const root = join(folder, '..')
const builtFolder = join(folder, '.cache', 'programs')
let building: Promise<void> | undefined

/**
 * Node's arguments for one of them. It runs as it would at a user's, as JavaScript that stands on the packages as they are
 * published: taking the types out of TypeScript at the start costs a process some 20 MB and much of its start. A profile is
 * taken of the source, whose files have names that say something.
 */
export async function programArgs(name: ProgramName, from: 'built' | 'source'): Promise<string[]> {
  if (from === 'source') return ['--conditions=@sallyport/source', join(folder, programs[name])]
  building ??= build()
  await building
  return [join(builtFolder, `${name}.js`)]
}

async function build(): Promise<void> {
  for (const name of ['core', 'gateway']) {
    const path = join(root, 'packages', name)
    if (newest(join(path, 'src')) > newest(join(path, 'dist'))) await runTsup(['--silent'], path)
  }
  const entries = Object.entries(programs).map(([name, file]) => `--entry.${name}=${file}`)
  await runTsup(['--silent', ...entries, '--format=esm', `--out-dir=${builtFolder}`], folder)
}

async function runTsup(args: string[], cwd: string): Promise<void> {
  await promisify(execFile)(join(root, 'node_modules', '.bin', 'tsup'), args, { cwd, timeout: 120_000 })
}

/** When the last of these files was written, in milliseconds since the epoch; 0 if there are none. */
function newest(path: string): number {
  let names: string[]
  try {
    names = readdirSync(path, { recursive: true, encoding: 'utf8' })
  } catch {
    return 0
  }
  return Math.max(0, ...names.map((name) => statSync(join(path, name)).mtimeMs))
}

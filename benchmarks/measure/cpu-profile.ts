import { readFileSync } from 'node:fs'
import { isRecord } from '../load/answer-check.ts'

export interface ProfileShare {
  name: string
  /** Of the time the process was not idle. */
  percent: number
}

export interface ProfileSummary {
  byPackage: ProfileShare[]
  byFile: ProfileShare[]
  byFrame: ProfileShare[]
}

interface Frame {
  functionName: string
  url: string
  line: number
}

/** Own time of every function in a V8 CPU profile, and its sums by file and by package; idle time is left out. */
export function summariseProfile(file: string): ProfileSummary {
  const profile: unknown = JSON.parse(readFileSync(file, 'utf8'))
  if (!isRecord(profile) || !Array.isArray(profile.nodes)) throw new Error(`${file} is not a CPU profile`)
  const frames = new Map<unknown, Frame>()
  for (const node of profile.nodes) {
    if (isRecord(node)) frames.set(node.id, frameOf(node.callFrame))
  }
  const samples: unknown[] = Array.isArray(profile.samples) ? profile.samples : []
  const deltas: unknown[] = Array.isArray(profile.timeDeltas) ? profile.timeDeltas : []
  const byPackage = new Map<string, number>()
  const byFile = new Map<string, number>()
  const byFrame = new Map<string, number>()
  let total = 0
  samples.forEach((id, index) => {
    const frame = frames.get(id)
    // A delta is the time from the sample before, so the time a sample stands for is the next one.
    const micros = Number(deltas[index + 1] ?? 0)
    if (!frame || frame.functionName === '(idle)' || micros < 0) return
    total += micros
    const location = shortName(frame.url)
    add(byPackage, packageOf(frame), micros)
    if (location !== '') add(byFile, location, micros)
    add(byFrame, `${frame.functionName || '(anonymous)'} ${location}${location && `:${frame.line}`}`, micros)
  })
  return {
    byPackage: shares(byPackage, total),
    byFile: shares(byFile, total),
    byFrame: shares(byFrame, total),
  }
}

function frameOf(value: unknown): Frame {
  const frame = isRecord(value) ? value : {}
  return {
    functionName: typeof frame.functionName === 'string' ? frame.functionName : '',
    url: typeof frame.url === 'string' ? frame.url : '',
    line: Number(frame.lineNumber ?? 0) + 1,
  }
}

function packageOf({ functionName, url }: Frame): string {
  if (functionName === '(garbage collector)') return 'garbage collector'
  if (functionName === '(program)') return 'native code outside JavaScript'
  if (url === '') return 'V8 built-ins and native functions'
  if (url.startsWith('node:')) return url
  if (url.startsWith('wasm:')) return 'WebAssembly (undici parser)'
  const installed = /^.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1]
  if (installed !== undefined) return installed
  const own = /\/packages\/([^/]+)\/(?:src|dist)\//.exec(url)?.[1]
  return own === undefined ? 'the host program' : `@sallyport/${own}`
}

function shortName(url: string): string {
  return url.replace(/^.*\/node_modules\//, '').replace(/^file:\/\/.*\/((?:packages|benchmarks)\/)/, '$1')
}

function add(totals: Map<string, number>, key: string, micros: number): void {
  totals.set(key, (totals.get(key) ?? 0) + micros)
}

function shares(totals: ReadonlyMap<string, number>, total: number): ProfileShare[] {
  return [...totals]
    .map(([name, micros]) => ({ name, percent: (100 * micros) / total }))
    .toSorted((a, b) => b.percent - a.percent)
}

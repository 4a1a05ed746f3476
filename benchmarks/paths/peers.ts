import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isRecord } from '../load/answer-check.ts'

/** Exact versions: a comparison with whatever is newest today cannot be repeated. */
export const peerVersions = {
  'mcp-hub': '4.2.1',
  'mcp-proxy': '6.7.19',
  supergateway: '4.0.0',
} as const

export type PeerName = keyof typeof peerVersions

export function isPeer(name: string): name is PeerName {
  return Object.hasOwn(peerVersions, name)
}

export const peerFolder = join(import.meta.dirname, '..', '..', '.tools', 'bench-peers')

/**
 * Peers are installed into .tools when a benchmark first needs them: they bring some two hundred packages that neither
 * the build nor any test has a use for. Their install scripts do not run.
 */
export async function installPeers(report: (line: string) => void): Promise<void> {
  const missing = Object.entries(peerVersions).filter(([name, version]) => installedVersion(name) !== version)
  if (missing.length === 0) return
  report(
    `installing ${missing.map(([name, version]) => `${name} ${version}`).join(', ')} into .tools/bench-peers (once)`,
  )
  mkdirSync(peerFolder, { recursive: true })
  writeFileSync(
    join(peerFolder, 'package.json'),
    JSON.stringify({ private: true, dependencies: peerVersions }, undefined, 2),
  )
  await promisify(execFile)(
    'npm',
    ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      cwd: peerFolder,
      timeout: 240_000,
    },
  )
}

/** The file to run with Node. */
export function peerProgram(name: PeerName): string {
  const { bin } = manifestOf(name) ?? {}
  const program = isRecord(bin) ? bin[name] : bin
  if (typeof program !== 'string') throw new Error(`${name} is not installed or has no program of its name`)
  return join(peerFolder, 'node_modules', name, program)
}

/** A place for files a peer wants to be configured with. */
export function writePeerFile(name: string, content: string): string {
  const file = join(peerFolder, name)
  writeFileSync(file, content)
  return file
}

function installedVersion(name: string): unknown {
  return manifestOf(name)?.version
}

function manifestOf(name: string): Record<string, unknown> | undefined {
  let text: string
  try {
    text = readFileSync(join(peerFolder, 'node_modules', name, 'package.json'), 'utf8')
  } catch {
    return undefined
  }
  const manifest: unknown = JSON.parse(text)
  return isRecord(manifest) ? manifest : undefined
}

import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isRecord } from '../load/answer-check.ts'

/** Exact versions: a comparison with whatever is newest today cannot be repeated. */
const peerVersions = {
  '@civic/passthrough-mcp-server': '0.12.1',
  'mcp-hub': '4.2.1',
  'mcp-proxy': '6.7.19',
  supergateway: '4.0.0',
} as const

type Package = keyof typeof peerVersions

/** The paths that are peers, and where they come from. */
const peerPackages = {
  'mcp-proxy': 'mcp-proxy',
  supergateway: 'supergateway',
  'mcp-hub': 'mcp-hub',
  civic: '@civic/passthrough-mcp-server',
} as const satisfies Record<string, Package>

export type PeerName = keyof typeof peerPackages

export function isPeer(name: string): name is PeerName {
  return Object.hasOwn(peerPackages, name)
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

/** The file to run with Node: the package's one program. */
export function peerProgram(peer: PeerName): string {
  const name = peerPackages[peer]
  const { bin } = manifestOf(name) ?? {}
  const program: unknown = isRecord(bin) ? Object.values(bin)[0] : bin
  if (typeof program !== 'string') throw new Error(`${name} is not installed or has no program`)
  return join(peerFolder, 'node_modules', name, program)
}

/**
 * A program of ours that stands on a peer's library. It is copied to where the peers are installed, so that it finds what it
 * imports there and nowhere else.
 */
export function programBesidePeers(name: string): string {
  const target = join(peerFolder, name)
  copyFileSync(join(import.meta.dirname, name), target)
  return target
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

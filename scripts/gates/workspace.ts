import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export const root = dirname(dirname(import.meta.dirname))

export type ExportTarget = string | { readonly [condition: string]: string }

export interface Manifest {
  name: string
  version?: string
  private?: boolean
  type?: string
  license?: string
  sideEffects?: boolean
  description?: string
  engines?: Record<string, string>
  files?: readonly string[]
  publishConfig?: Record<string, string>
  exports?: Record<string, ExportTarget>
  scripts?: Record<string, string>
  dependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
  peerDependenciesMeta?: Record<string, { optional?: boolean }>
  optionalDependencies?: Record<string, string>
  devDependencies?: Record<string, string>
}

export interface WorkspacePackage {
  /** Relative to the root, such as `packages/core`. */
  folder: string
  path: string
  manifest: Manifest
}

export interface Subpath {
  /** As in the exports map: `.` or `./memory`. */
  key: string
  /** What a user imports: `@sallyport/core/memory`. */
  specifier: string
  /** `index` for `.`, else the key with its slashes as dashes. */
  fileName: string
  /** The source file that the development condition names. */
  source: string
}

/** Every workspace package under the given folders, sorted by folder. */
export function listPackages(...parents: readonly string[]): WorkspacePackage[] {
  const patterns = parents.flatMap((parent) => [`${parent}/package.json`, `${parent}/*/package.json`])
  return globSync(patterns, { cwd: root })
    .toSorted()
    .map((file) => {
      const path = join(root, dirname(file))
      return { folder: dirname(file), path, manifest: readManifest(path) }
    })
}

export function listPublicPackages(): WorkspacePackage[] {
  return listPackages('packages').filter(({ manifest }) => manifest.private !== true)
}

/** The subpaths of a package that hold code. */
export function listSubpaths({ path, manifest }: WorkspacePackage): Subpath[] {
  return Object.entries(manifest.exports ?? {}).flatMap(([key, target]) => {
    const source = typeof target === 'string' ? undefined : target['@sallyport/source']
    if (source === undefined) return []
    const name = key === '.' ? '' : key.slice(1)
    const fileName = key === '.' ? 'index' : key.slice(2).replaceAll('/', '-')
    return [{ key, specifier: manifest.name + name, fileName, source: join(path, source) }]
  })
}

export function readManifest(path: string): Manifest {
  const file = join(path, 'package.json')
  if (!existsSync(file)) throw new Error(`${file} is missing`)
  // Our own manifests: pnpm has read them before us.
  const manifest: Manifest = JSON.parse(readFileSync(file, 'utf8'))
  return manifest
}

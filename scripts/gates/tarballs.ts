import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mustRun } from './run-command.ts'
import { listPublicPackages, root } from './workspace.ts'

const folder = join(root, '.cache', 'tarballs')
const indexFile = join(folder, 'index.json')

/** Packs every public package as it would be published. Reads dist: build first. */
export async function packAll(): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const index: Record<string, string> = {}
  for (const { path, manifest } of listPublicPackages()) {
    const file = join(folder, `${manifest.name.replace('@', '').replace('/', '-')}.tgz`)
    await mustRun('pnpm', ['pack', '--out', file], { cwd: path })
    index[manifest.name] = file
  }
  await writeFile(indexFile, `${JSON.stringify(index, undefined, 2)}\n`)
}

/** Package name → tarball. */
export async function readTarballs(): Promise<Record<string, string>> {
  const index: Record<string, string> = JSON.parse(await readFile(indexFile, 'utf8'))
  return index
}

/**
 * Gives the action an empty folder outside the workspace where the named packages are installed from their tarballs; what
 * they need of each other comes from tarballs too, and nothing else of the workspace is in reach.
 */
export async function withInstalled(
  names: readonly string[],
  others: Readonly<Record<string, string>>,
  action: (folder: string) => Promise<void>,
): Promise<void> {
  const tarballs = await readTarballs()
  const target = await mkdtemp(join(tmpdir(), 'sallyport-consumer-'))
  try {
    const own = names.map((name) => [name, `file:${tarballs[name]}`])
    await writeFile(
      join(target, 'package.json'),
      JSON.stringify({
        private: true,
        type: 'module',
        dependencies: { ...Object.fromEntries(own), ...others },
      }),
    )
    const overrides = Object.entries(tarballs).map(([name, file]) => `  '${name}': 'file:${file}'\n`)
    await writeFile(
      join(target, 'pnpm-workspace.yaml'),
      `pmOnFail: ignore\noverrides:\n${overrides.join('')}`,
    )
    await mustRun('pnpm', ['install', '--ignore-scripts', '--prefer-offline'], { cwd: target })
    await action(target)
  } finally {
    await rm(target, { recursive: true, force: true })
  }
}

// Every public package, installed from its tarball with its peers and nothing else: each subpath must load on the oldest and the
// current Node, by `import` and by `require`, keep no process alive, and type-check in a program that checks declaration files
// too. Without optional peers the package itself must still load.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readCatalog } from '../../scripts/gates/catalog.ts'
import { findFloorNode } from '../../scripts/gates/floor-node.ts'
import { mustRun } from '../../scripts/gates/run-command.ts'
import { withInstalled } from '../../scripts/gates/tarballs.ts'
import { listPublicPackages, listSubpaths, root } from '../../scripts/gates/workspace.ts'

const nodes = [await findFloorNode(), process.execPath]
const compilers = ['typescript', 'typescript-7'].map((name) => join(root, 'node_modules', name, 'bin', 'tsc'))
const nodeTypes = { '@types/node': readCatalog()['@types/node'] ?? '*' }

for (const workspacePackage of listPublicPackages()) {
  const { name, peerDependencies = {}, peerDependenciesMeta = {} } = workspacePackage.manifest
  const specifiers = listSubpaths(workspacePackage).map(({ specifier }) => specifier)
  await check(name, specifiers, peerDependencies)
  const needed = Object.entries(peerDependencies).filter(([peer]) => !peerDependenciesMeta[peer]?.optional)
  if (needed.length < Object.keys(peerDependencies).length)
    await check(name, [name], Object.fromEntries(needed))
}

async function check(
  name: string,
  specifiers: readonly string[],
  peers: Readonly<Record<string, string>>,
): Promise<void> {
  await withInstalled([name], { ...nodeTypes, ...peers }, async (folder) => {
    await writeFiles(folder, specifiers)
    for (const node of nodes) {
      for (const file of ['load.js', 'load.cjs']) {
        await mustRun(node, ['--no-warnings', file], { cwd: folder, timeoutMs: 30_000 })
      }
    }
    for (const compiler of compilers) await mustRun(process.execPath, [compiler, '-p', folder])
  })
}

async function writeFiles(folder: string, specifiers: readonly string[]): Promise<void> {
  const list = JSON.stringify(specifiers)
  const files = {
    'load.js': `for (const specifier of ${list}) await import(specifier)\n`,
    'load.cjs': `for (const specifier of ${list}) require(specifier)\n`,
    'consumer.ts': `${specifiers.map((specifier, index) => `export * as name${index} from '${specifier}'`).join('\n')}\n`,
    'tsconfig.json': JSON.stringify({
      compilerOptions: {
        module: 'nodenext',
        target: 'es2023',
        strict: true,
        noEmit: true,
        skipLibCheck: false,
        types: ['node'],
      },
      files: ['consumer.ts'],
    }),
  }
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
}

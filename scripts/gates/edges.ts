// Who may depend on whom (docs/decisions and CONTRIBUTING.md say why), and what every package must look like.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import ts from 'typescript'
import {
  listPackages,
  listSubpaths,
  type Manifest,
  readManifest,
  root,
  type WorkspacePackage,
} from './workspace.ts'

const scope = '@sallyport/'
const core = '@sallyport/core'
/** Files that may use what packages may not, and what it is. */
const exceptions = new Map([
  // servers are found on the PATH that the gateway itself was started with; an option replaces it
  ['packages/gateway/src/runtime/child-process-runtime.ts', 'process.env'],
])

/** Leaves import core only, and anyone may import them. */
const leaves = new Set(['contracts', 'crypto', 'net', 'cache'].map((name) => scope + name))

const packages = listPackages('packages')
const fakes = listPackages('fakes')
const fakeNames = new Set(fakes.map(({ manifest }) => manifest.name))
const exportedBy = new Map(
  [...packages, ...fakes].map(({ manifest }) => [manifest.name, Object.keys(manifest.exports ?? {})]),
)
const problems: string[] = []

for (const each of packages) {
  checkManifest(each)
  checkEdges(each)
  for (const file of sources(each, 'src')) checkSource(each, file)
  for (const file of sources(each, 'test')) checkImports(each, file)
}
for (const each of fakes) {
  for (const name of Object.keys(allDependencies(each.manifest))) {
    if (name.startsWith(scope) && !fakeNames.has(name))
      problems.push(`${each.folder} depends on ${name}: a fake shares no code with what it tests`)
  }
  for (const file of sources(each, '.')) checkImports(each, file)
}
for (const each of listPackages('examples', 'tests', 'benchmarks')) {
  for (const file of sources(each, '.')) checkImports(each, file)
}
for (const problem of problems) console.log(problem)
process.exitCode = problems.length === 0 ? 0 : 1

function checkManifest(each: WorkspacePackage): void {
  const { folder, path, manifest } = each
  const expect = (holds: boolean, what: string) => {
    if (!holds) problems.push(`${folder}/package.json: ${what}`)
  }
  expect(manifest.name === scope + folder.split('/')[1], `its name is not ${scope}<folder>`)
  expect(manifest.license === 'Apache-2.0', 'license is not Apache-2.0')
  expect(manifest.type === 'module', 'type is not module')
  expect(manifest.sideEffects === false, 'sideEffects is not false')
  expect(
    manifest.engines?.['node'] === readManifest(root).engines?.['node'],
    'engines.node is not that of the root',
  )
  expect(Boolean(manifest.description), 'description is missing')
  if (manifest.private) return
  expect(manifest.publishConfig?.['access'] === 'public', 'publishConfig.access is not public')
  expect(manifest.files?.join() === 'dist,README.md,LICENSE', 'files is not dist, README.md, LICENSE')
  expect(existsSync(join(path, 'README.md')), 'there is no README.md beside it')
  const documented: { entryPoints?: string[] } = JSON.parse(readFileSync(join(path, 'typedoc.json'), 'utf8'))
  expect(
    documented.entryPoints?.join() ===
      listSubpaths(each)
        .map(({ source }) => relative(path, source))
        .join(),
    'exports and the entryPoints of typedoc.json differ',
  )
  for (const [key, target] of Object.entries(manifest.exports ?? {})) {
    if (typeof target === 'string') continue
    expect(
      Object.keys(target).join() === '@sallyport/source,types,default',
      `exports["${key}"]: the conditions are not @sallyport/source, types, default in this order`,
    )
  }
}

function checkEdges({ folder, manifest }: WorkspacePackage): void {
  const isLeaf = leaves.has(manifest.name)
  const runtime = { ...manifest.dependencies, ...manifest.peerDependencies, ...manifest.optionalDependencies }
  for (const name of Object.keys(allDependencies(manifest)).filter((each) => each.startsWith(scope))) {
    const isRuntime = name in runtime
    // Tests of core run the contract suites, which import core: a cycle of development only.
    const allowed =
      (name === core && manifest.name !== core) ||
      (leaves.has(name) && (isRuntime ? !isLeaf && manifest.name !== core : name !== manifest.name)) ||
      (fakeNames.has(name) && !isRuntime)
    if (!allowed) problems.push(`${folder} may not depend on ${name}${isRuntime ? '' : ' (devDependencies)'}`)
  }
}

function checkSource(each: WorkspacePackage, file: string): void {
  const { manifest, path } = each
  const runtime = { ...manifest.dependencies, ...manifest.peerDependencies, ...manifest.optionalDependencies }
  for (const { specifier, at } of checkImports(each, file)) {
    if (specifier.startsWith('.')) {
      const target = relative(join(path, 'src'), resolve(dirname(file), specifier))
      if (target.startsWith('..')) problems.push(`${at}: ${specifier} leaves src`)
    } else if (!specifier.startsWith('node:') && !(packageOf(specifier) in runtime)) {
      problems.push(`${at}: ${packageOf(specifier)} is not in dependencies`)
    }
  }
  const tree = parse(file)
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
      const text = `${node.expression.text}.${node.name.text}`
      const allowed = exceptions.get(relative(root, tree.fileName)) === text
      if (!allowed && (node.expression.text === 'console' || text === 'process.env')) {
        problems.push(`${position(tree, node)}: ${text}: packages take options and a logger`)
      }
    }
    ts.forEachChild(node, visit)
  }
  visit(tree)
}

/** No deep imports: a package of ours is reached through its exports. Answers every specifier of the file. */
function checkImports(each: WorkspacePackage, file: string): { specifier: string; at: string }[] {
  const tree = parse(file)
  const found: { specifier: string; at: string }[] = []
  const visit = (node: ts.Node): void => {
    const specifier = specifierOf(node)
    if (specifier !== undefined) found.push({ specifier, at: position(tree, node) })
    ts.forEachChild(node, visit)
  }
  visit(tree)
  for (const { specifier, at } of found) {
    if (specifier.startsWith('.')) {
      const target = resolve(dirname(file), specifier)
      if (!isInside(target, each.path) && isInside(target, join(root, 'packages'))) {
        problems.push(`${at}: ${specifier} reaches into a package past its exports`)
      }
      if (each.folder.startsWith('fakes/') && !isInside(target, join(root, 'fakes'))) {
        problems.push(`${at}: ${specifier} leaves fakes/`)
      }
      continue
    }
    if (!specifier.startsWith(scope)) continue
    const name = packageOf(specifier)
    const key = `.${specifier.slice(name.length)}`
    const keys = exportedBy.get(name)
    if (keys && !keys.includes(key)) problems.push(`${at}: ${name} does not export ${key}`)
    if (each.folder.startsWith('fakes/') && !fakeNames.has(name))
      problems.push(`${at}: a fake imports ${specifier}`)
  }
  return found
}

function specifierOf(node: ts.Node): string | undefined {
  if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier) {
    return ts.isStringLiteral(node.moduleSpecifier) ? node.moduleSpecifier.text : undefined
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const [argument] = node.arguments
    return argument && ts.isStringLiteral(argument) ? argument.text : undefined
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
    return ts.isStringLiteral(node.argument.literal) ? node.argument.literal.text : undefined
  }
  return undefined
}

function sources({ path }: WorkspacePackage, folder: string): string[] {
  const pattern = folder === '.' ? '**/*.ts' : `${folder}/**/*.ts`
  return globSync(pattern, { cwd: path, exclude: ['**/node_modules', '**/dist'] }).map((file) =>
    join(path, file),
  )
}

function parse(file: string): ts.SourceFile {
  return ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.ES2023, true)
}

function position(tree: ts.SourceFile, node: ts.Node): string {
  const { line } = tree.getLineAndCharacterOfPosition(node.getStart())
  return `${relative(root, tree.fileName)}:${line + 1}`
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

function isInside(path: string, folder: string): boolean {
  return path.startsWith(folder + sep)
}

function allDependencies(manifest: Manifest): Record<string, string> {
  return {
    ...manifest.dependencies,
    ...manifest.peerDependencies,
    ...manifest.optionalDependencies,
    ...manifest.devDependencies,
  }
}

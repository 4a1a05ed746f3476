// The code in README.md, in the READMEs of the packages and in docs/guides: every ```ts block must type-check against the
// packed tarballs, and a block marked ```ts run must also end with exit code 0, in a folder of its own without the workspace.
import { globSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readCatalog } from './catalog.ts'
import { mustRun } from './run-command.ts'
import { readTarballs, withInstalled } from './tarballs.ts'
import { root } from './workspace.ts'

interface Snippet {
  fileName: string
  text: string
  runs: boolean
}

const pages = globSync(['README.md', 'packages/*/README.md', 'docs/guides/**/*.md'], {
  cwd: root,
  exclude: ['**/node_modules/**'],
})
const snippets = pages.toSorted().flatMap(readSnippets)
if (snippets.length === 0) process.exit(0)
const own = Object.keys(await readTarballs())
await withInstalled(own, thirdParties(snippets), async (folder) => {
  const compilerOptions = {
    module: 'nodenext',
    moduleDetection: 'force',
    target: 'es2023',
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: ['node'],
  }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
  for (const { fileName, text } of snippets) await writeFile(join(folder, fileName), text)
  await mustRun(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], {
    cwd: folder,
  })
  for (const { fileName } of snippets.filter(({ runs }) => runs)) {
    await mustRun(process.execPath, ['--no-warnings', fileName], { cwd: folder, timeoutMs: 60_000 })
  }
})

function readSnippets(page: string): Snippet[] {
  const text = readFileSync(join(root, page), 'utf8')
  return [...text.matchAll(/^```(ts|typescript)\b([^\n]*)\n([\s\S]*?)^```/gm)].map((match) => {
    // Pushed down to the line it has on the page, so that the compiler's line numbers are the page's.
    const line = text.slice(0, match.index).split('\n').length
    const fileName = `${page.replaceAll('/', '-')}.line-${line}.ts`
    return {
      fileName,
      text: '\n'.repeat(line) + (match[3] ?? ''),
      runs: /\brun\b/.test(match[2] ?? ''),
    }
  })
}

/** What the snippets import besides our packages and Node's modules, at the versions the workspace uses. */
function thirdParties(all: readonly Snippet[]): Record<string, string> {
  const catalog = readCatalog()
  const needed: Record<string, string> = { '@types/node': catalog['@types/node'] ?? '*' }
  for (const { fileName, text } of all) {
    for (const [, specifier = ''] of text.matchAll(
      /(?:from|import|import\.meta\.resolve) ?\(?'([^'.][^']*)'/g,
    )) {
      const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
      if (specifier.startsWith('node:') || name.startsWith('@sallyport/')) continue
      const version = catalog[name]
      if (!version)
        throw new Error(`${fileName} imports ${name}, which the catalog in pnpm-workspace.yaml does not have`)
      needed[name] = version
      const types = `@types/${name}`
      if (catalog[types]) needed[types] = catalog[types]
    }
  }
  return needed
}

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './workspace.ts'

/** The versions in the `catalog:` of pnpm-workspace.yaml: package name → range. */
export function readCatalog(): Record<string, string> {
  const text = readFileSync(join(root, 'pnpm-workspace.yaml'), 'utf8')
  const block = /^catalog:\n((?:[ #].*\n|\n)*)/m.exec(text)?.[1] ?? ''
  const entries = block.matchAll(/^ {2}'?([^\s':]+)'?: (\S+)$/gm)
  return Object.fromEntries([...entries].map(([, name = '', range = '']) => [name, range]))
}

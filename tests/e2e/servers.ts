import { createRequire } from 'node:module'
import type { UpstreamEra } from '@sallyport/fake-mcp-upstream'
import { compileCache } from './gateway-process.ts'

const require = createRequire(import.meta.url)
const fixture = require.resolve('@sallyport/fake-mcp-upstream/main')
const programs = {
  everything: require.resolve('@modelcontextprotocol/server-everything/dist/index.js'),
  filesystem: require.resolve('@modelcontextprotocol/server-filesystem/dist/index.js'),
  memory: require.resolve('@modelcontextprotocol/server-memory/dist/index.js'),
}

interface StdioEntry {
  command: string
  args: string[]
  env: Record<string, string>
}

/** Our fixture as a child process of the gateway. */
export function fixtureEntry(era: UpstreamEra = 'dual', name = 'fixture'): StdioEntry {
  return {
    command: process.execPath,
    args: [fixture, '--stdio', '--era', era, '--name', name],
    env: { ...compileCache },
  }
}

/** A published server. All of them speak the legacy era only. */
export function npmEntry(
  name: keyof typeof programs,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): StdioEntry {
  return {
    command: process.execPath,
    args: [programs[name], ...args],
    env: { ...compileCache, ...env },
  }
}

import { ConfigError, type ConfigIssue, type ServerDefinition } from '@sallyport/core'
import { closestName } from './closest-name.ts'
import { type JsonDocument, type JsonNode, kindOf, propertiesOf, readJsonDocument } from './json-document.ts'
import { readServerEntry } from './read-server-entry.ts'

export interface ParsedMcpJson {
  /** In the order of the file, without those that are switched off. */
  readonly servers: Record<string, ServerDefinition>
  /** What has no effect, or probably not the one that was meant. */
  readonly warnings: readonly ConfigIssue[]
}

/**
 * Reads the `mcp.json` of an AI client (Claude, Cursor, VS Code and others) as it is: servers under `mcpServers` or
 * `servers`, comments and trailing commas allowed. `${NAME}`, `${NAME:-default}` and `${env:NAME}` are filled in
 * from `options.env` in `command`, `args`, `env`, `cwd`, `url` and `headers`; without it, no variable is set.
 *
 * `type` or `transport`: `http` means Streamable HTTP or, failing that, the older HTTP+SSE. `timeout` is in milliseconds.
 * @param options.file name of the file, for messages
 * @throws ConfigError with every mistake and its line. A file that is not JSON is not looked at further. No message shows a value.
 */
export function parseMcpJson(
  text: string,
  options: { file?: string; env?: Readonly<Record<string, string | undefined>> } = {},
): ParsedMcpJson {
  const document = readJsonDocument(text)
  const wellFormed = document.issues.every((issue) => !issue.message.startsWith('not valid JSON'))
  const servers = wellFormed ? readServers(document, options.env ?? {}) : {}
  if (document.issues.length > 0) {
    const issues = document.issues.toSorted(byPlace)
    throw new ConfigError(issues, options.file === undefined ? {} : { file: options.file })
  }
  return { servers, warnings: document.warnings }
}

function byPlace(a: ConfigIssue, b: ConfigIssue): number {
  return (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0)
}

const containers = ['mcpServers', 'servers']

/** Written by clients beside the servers, for themselves. */
const silentKeys = new Set(['$schema', 'globalShortcut', 'inputs', 'preferences', 'projects', 'theme'])

function readServers(
  document: JsonDocument,
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, ServerDefinition> {
  const { root } = document
  if (root?.type !== 'object') {
    const found = root === undefined ? 'an empty file' : kindOf(root)
    document.issues.push({
      path: '',
      message: `found ${found}, expected an object with the key "mcpServers"`,
      line: 1,
      column: 1,
    })
    return {}
  }
  const properties = propertiesOf(root)
  const found = properties.filter(({ name }) => containers.includes(name))
  if (found.length === 0) {
    document.error([], root, `has no key "mcpServers" (or "servers") that holds the servers${hint(root)}`)
    return {}
  }
  for (const { name, key } of properties) {
    if (containers.includes(name) || silentKeys.has(name)) continue
    document.warn([name], key, 'is not a known key and has no effect')
  }
  const servers = new Map<string, ServerDefinition>()
  const places = new Map<string, string>()
  for (const { name: container, value } of found) {
    if (value.type !== 'object') {
      document.error([container], value, `found ${kindOf(value)}, expected an object of servers by name`)
      continue
    }
    for (const { name, key, value: entry } of propertiesOf(value)) {
      const path = [container, name]
      const problem = nameProblem(name)
      if (problem !== undefined) document.error(path, key, problem)
      const other = places.get(name)
      if (other !== undefined) document.error(path, key, `has the name of a server under "${other}"`)
      places.set(name, container)
      const definition = readServerEntry(document, path, entry, environment)
      if (definition !== undefined) servers.set(name, definition)
    }
  }
  if (document.issues.length === 0 && servers.size === 0)
    document.warn([], root, 'holds no server that is switched on')
  // fromEntries defines own properties, so that even a server "__proto__" is just a server.
  return Object.fromEntries(servers)
}

/** Names are parts of URL paths and of tool names. */
function nameProblem(name: string): string | undefined {
  if (name === '') return 'is an empty name'
  if (name.length > 64) return `is a name of ${name.length} characters, expected at most 64`
  if (name === '.' || name === '..') return 'is not a name that a URL can carry'
  if (/[\p{Cc}\u2028\u2029/]/u.test(name)) return 'is a name with a slash or control character in it'
  return /\p{Surrogate}/u.test(name) ? 'is a name with half a character in it' : undefined
}

function hint(root: JsonNode): string {
  const names = propertiesOf(root).map(({ name }) => name)
  const close = names.find(
    (name) => closestName(name, containers) !== undefined || /^(mcp|context_servers)$/.test(name),
  )
  if (close !== undefined) return `; did you mean "mcpServers" by "${close}"?`
  const bare = propertiesOf(root).some(({ value }) =>
    propertiesOf(value).some(({ name }) => name === 'command' || name === 'url'),
  )
  return bare ? '; put the servers inside it' : ''
}

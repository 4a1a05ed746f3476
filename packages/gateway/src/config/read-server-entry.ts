import type { HttpServerDefinition, ServerDefinition, StdioServerDefinition } from '@sallyport/core'
import { closestName } from './closest-name.ts'
import { expandVariables } from './expand-variables.ts'
import {
  type JsonDocument,
  type JsonNode,
  type JsonProperty,
  kindOf,
  type Path,
  propertiesOf,
} from './json-document.ts'
import {
  aliases,
  framingHeaders,
  readKeys,
  silentKeys,
  type Transport,
  transports,
  unsupportedKeys,
} from './server-entry-keys.ts'

/**
 * Turns one entry of `mcpServers` into a definition. Mistakes go to the document; then there is no definition. There is none for
 * an entry that is switched off either, of which nothing else is looked at.
 */
export function readServerEntry(
  document: JsonDocument,
  path: Path,
  node: JsonNode,
  environment: Readonly<Record<string, string | undefined>>,
): ServerDefinition | undefined {
  if (node.type !== 'object') {
    document.error(path, node, `found ${kindOf(node)}, expected an object with "command" or "url"`)
    return undefined
  }
  const before = document.issues.length
  const entry = new EntryReader(document, path, node, environment)
  if (entry.isOff()) return undefined
  entry.reportUnknownKeys()
  const transport = entry.transport()
  const timeoutMs = entry.timeoutMs()
  const definition = entry.isStdio(transport) ? entry.stdio(timeoutMs) : entry.http(transport, timeoutMs)
  return document.issues.length > before ? undefined : definition
}

class EntryReader {
  readonly #document: JsonDocument
  readonly #path: Path
  readonly #node: JsonNode
  readonly #environment: Readonly<Record<string, string | undefined>>
  readonly #properties: ReadonlyMap<string, JsonProperty>

  constructor(
    document: JsonDocument,
    path: Path,
    node: JsonNode,
    environment: Readonly<Record<string, string | undefined>>,
  ) {
    this.#document = document
    this.#path = path
    this.#node = node
    this.#environment = environment
    this.#properties = new Map(propertiesOf(node).map((property) => [property.name, property]))
  }

  isOff(): boolean {
    const disabled = this.#boolean('disabled')
    const enabled = this.#boolean('enabled')
    return disabled === true || enabled === false
  }

  reportUnknownKeys(): void {
    for (const { name, key } of this.#properties.values()) {
      if (readKeys.includes(name) || silentKeys.has(name)) continue
      const path = [...this.#path, name]
      const consequence = Object.hasOwn(unsupportedKeys, name) ? unsupportedKeys[name] : undefined
      if (consequence !== undefined) this.#document.warn(path, key, `has no effect here: ${consequence}`)
      else {
        const meant = Object.hasOwn(aliases, name) ? aliases[name] : closestName(name, readKeys)
        const hint = meant === undefined ? '' : `; did you mean "${meant}"?`
        this.#document.warn(path, key, `is not a known key and has no effect${hint}`)
      }
    }
  }

  transport(): Transport | undefined {
    const [type, transport] = ['type', 'transport'].map((name) => this.#transport(name))
    if (type !== undefined && transport !== undefined && type !== transport) {
      this.#error('transport', 'contradicts "type"; one of them is enough')
    }
    return type ?? transport
  }

  timeoutMs(): number | undefined {
    const property = this.#properties.get('timeout')
    if (property === undefined) return undefined
    const { value } = property
    if (typeof value.value !== 'number' || !(value.value > 0) || value.value > 2 ** 31 - 1) {
      this.#error('timeout', `found ${kindOf(value)}, expected a number of milliseconds from 1 to 2147483647`)
      return undefined
    }
    if (value.value < 1000) {
      this.#document.warn(
        [...this.#path, 'timeout'],
        value,
        'is counted in milliseconds and ends calls in less than a second',
      )
    }
    return Math.ceil(value.value)
  }

  /** Also reports what does not go together. */
  isStdio(transport: Transport | undefined): boolean {
    const command = this.#properties.has('command')
    const url = this.#properties.has('url')
    if (command && url) this.#error('url', 'stands beside "command"; expected one of them')
    else if (!command && !url) {
      this.#document.error(this.#path, this.#node, `has neither "command" nor "url"${this.#hint()}`)
    } else if (transport === 'stdio' && url) {
      this.#error('url', 'does not go with the transport "stdio", which needs "command"')
    } else if (transport !== undefined && transport !== 'stdio' && command) {
      this.#error('command', `does not go with the transport "${transport}", which needs "url"`)
    }
    for (const name of command ? ['headers'] : ['args', 'env', 'cwd']) {
      const property = this.#properties.get(name)
      if (property === undefined || command === url) continue
      this.#document.warn(
        [...this.#path, name],
        property.key,
        `has no effect beside "${command ? 'command' : 'url'}"`,
      )
    }
    return command
  }

  stdio(timeoutMs: number | undefined): StdioServerDefinition {
    const cwd = this.#text('cwd')
    const args = this.#args()
    const env = this.#env()
    return {
      command: this.#text('command') ?? '',
      ...(args === undefined ? {} : { args }),
      ...(env === undefined ? {} : { env }),
      ...(cwd === undefined ? {} : { cwd }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    }
  }

  http(transport: Transport | undefined, timeoutMs: number | undefined): HttpServerDefinition {
    const headers = this.#headers()
    return {
      url: this.#url() ?? '',
      ...(headers === undefined ? {} : { headers }),
      // Clients that write "http" fall back to the older transport too.
      ...(transport === 'streamable-http' || transport === 'sse' ? { transport } : {}),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    }
  }

  #boolean(name: string): boolean | undefined {
    const value = this.#properties.get(name)?.value
    if (value === undefined) return undefined
    if (typeof value.value === 'boolean') return value.value
    this.#error(name, `found ${kindOf(value)}, expected true or false`)
    return undefined
  }

  #transport(name: string): Transport | undefined {
    const value = this.#properties.get(name)?.value
    if (value === undefined) return undefined
    for (const [written, transport] of Object.entries(transports)) {
      if (value.value === written) return transport
    }
    const found = value.type === 'string' && value.value !== '' ? JSON.stringify(value.value) : kindOf(value)
    this.#error(name, `found ${found}, expected "stdio", "http", "streamable-http" or "sse"`)
    return undefined
  }

  #text(name: string): string | undefined {
    const value = this.#properties.get(name)?.value
    if (value === undefined) return undefined
    const text = this.#expanded([name], value, 'expected text')
    if (text !== '' || value.type !== 'string') return text
    this.#error(
      name,
      value.value === ''
        ? 'found an empty string, expected text'
        : 'is empty once its variables are filled in',
    )
    return undefined
  }

  #args(): string[] | undefined {
    const value = this.#properties.get('args')?.value
    if (value === undefined) return undefined
    if (value.type !== 'array') {
      this.#error('args', `found ${kindOf(value)}, expected an array of texts`)
      return undefined
    }
    return (value.children ?? []).map(
      (item, index) => this.#expanded(['args', index], item, 'expected text') ?? '',
    )
  }

  #env(): Record<string, string> | undefined {
    return this.#record('env', (name, value) => {
      if (name === '' || /[=\0]/.test(name)) {
        this.#document.error(
          [...this.#path, 'env', name],
          value,
          'has a name that no environment variable can have',
        )
      }
      // Some clients write numbers, and null for "not set".
      if (value.type === 'null') return undefined
      if (value.type === 'number') return String(value.value)
      return this.#expanded(['env', name], value, 'expected text, a number or null')
    })
  }

  #headers(): Record<string, string> | undefined {
    const seen = new Set<string>()
    return this.#record('headers', (name, value) => {
      const path = [...this.#path, 'headers', name]
      const plain = name.toLowerCase()
      if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name))
        this.#document.error(path, value, 'is not a name that a header can have')
      else if (framingHeaders.has(plain))
        this.#document.error(path, value, 'is a header that the gateway sets itself')
      else if (seen.has(plain))
        this.#document.error(path, value, 'stands twice: header names are the same in any case')
      seen.add(plain)
      const text = this.#expanded(['headers', name], value, 'expected text')
      if (text === undefined || /^[\t\x20-\x7e\x80-\xff]*$/.test(text)) return text
      this.#document.error(
        path,
        value,
        'has a value with characters that a header cannot carry, such as a line break',
      )
      return undefined
    })
  }

  #url(): string | undefined {
    const text = this.#text('url')
    if (text === undefined) return undefined
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (url === undefined || !/^https?:$/.test(url.protocol)) {
      this.#error('url', 'found text that is not an absolute http or https URL')
      return undefined
    }
    if (url.username !== '' || url.password !== '') {
      this.#error('url', 'has a user name or password in it; write them into "headers"')
    }
    return text
  }

  #record(
    name: string,
    read: (key: string, value: JsonNode) => string | undefined,
  ): Record<string, string> | undefined {
    const value = this.#properties.get(name)?.value
    if (value === undefined) return undefined
    if (value.type !== 'object') {
      this.#error(name, `found ${kindOf(value)}, expected an object of texts`)
      return undefined
    }
    // fromEntries defines own properties, so that even a key "__proto__" is just a key.
    return Object.fromEntries(
      propertiesOf(value).flatMap((property) => {
        const text = read(property.name, property.value)
        return text === undefined ? [] : [[property.name, text]]
      }),
    )
  }

  #expanded(tail: Path, value: JsonNode, expected: string): string | undefined {
    const path = [...this.#path, ...tail]
    if (typeof value.value !== 'string') {
      this.#document.error(path, value, `found ${kindOf(value)}, ${expected}`)
      return undefined
    }
    const expansion = expandVariables(value.value, this.#environment)
    for (const problem of expansion.problems ?? []) this.#document.error(path, value, problem)
    if (expansion.problems !== undefined) return undefined
    if (!expansion.text.includes('\0')) return expansion.text
    this.#document.error(path, value, 'has a null character in it')
    return undefined
  }

  #hint(): string {
    for (const name of this.#properties.keys()) {
      if (readKeys.includes(name) || silentKeys.has(name)) continue
      const meant = Object.hasOwn(aliases, name) ? aliases[name] : closestName(name, ['command', 'url'])
      if (meant === 'command' || meant === 'url') return `; did you mean "${meant}" by "${name}"?`
    }
    return ''
  }

  #error(name: string, message: string): void {
    const node = this.#properties.get(name)?.value ?? this.#node
    this.#document.error([...this.#path, name], node, message)
  }
}

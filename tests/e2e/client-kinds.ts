import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport as StdioClientTransportV1 } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport as StreamableHTTPClientTransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { compileCache } from './gateway-process.ts'
import { type InspectorEra, runInspector } from './inspector.ts'
import type { RequirementId } from './requirements.ts'

/** Where the gateway is: at a URL, or behind the standard streams of a Node program with these arguments. */
export type Place = { readonly url: string } | { readonly args: readonly string[] }

export interface ConnectedClient {
  /** What was negotiated; the inspector does not tell. */
  readonly era: 'legacy' | 'modern' | undefined
  toolNames(): Promise<string[]>
  /** The first text of the result. */
  callTool(name: string, values?: Record<string, unknown>): Promise<string>
  close(): Promise<void>
}

export interface ClientKind {
  readonly name: string
  readonly cites: RequirementId
  /** Era that it ends up with in front of servers that speak both. */
  readonly prefers: 'legacy' | 'modern'
  /** Every call is a process of its own: tests ask for less. */
  readonly isCommand: boolean
  connect(place: Place): Promise<ConnectedClient>
}

const info = { name: 'sallyport-e2e', version: '1.0.0' }
const sdk = { isCommand: false } as const
const command = { isCommand: true } as const

export const clientKinds: readonly ClientKind[] = [
  {
    ...sdk,
    name: 'SDK v1',
    cites: 'client-sdk-v1',
    prefers: 'legacy',
    connect: connectV1,
  },
  {
    ...sdk,
    name: 'SDK v2, legacy',
    cites: 'client-sdk-v2-legacy',
    prefers: 'legacy',
    connect: (place) => connectV2(place, 'legacy'),
  },
  {
    ...sdk,
    name: 'SDK v2, auto',
    cites: 'client-sdk-v2-auto',
    prefers: 'modern',
    connect: (place) => connectV2(place, 'auto'),
  },
  {
    ...sdk,
    name: 'SDK v2, modern',
    cites: 'client-sdk-v2-modern',
    prefers: 'modern',
    connect: (place) => connectV2(place, { pin: '2026-07-28' }),
  },
  {
    ...command,
    name: 'Inspector, legacy',
    cites: 'client-inspector-legacy',
    prefers: 'legacy',
    connect: (place) => inspectorAt(place, 'legacy'),
  },
  {
    ...command,
    name: 'Inspector, auto',
    cites: 'client-inspector-auto',
    prefers: 'modern',
    connect: (place) => inspectorAt(place, 'auto'),
  },
]

export async function openV1(place: Place, client = new ClientV1(info)): Promise<ClientV1> {
  await client.connect(
    'url' in place
      ? new StreamableHTTPClientTransportV1(new URL(place.url))
      : new StdioClientTransportV1({ ...program(place.args), stderr: 'ignore' }),
  )
  return client
}

export async function openV2(place: Place, client: Client): Promise<Client> {
  await client.connect(
    'url' in place
      ? new StreamableHTTPClientTransport(new URL(place.url))
      : new StdioClientTransport({ ...program(place.args), stderr: 'ignore' }),
  )
  return client
}

function program(args: readonly string[]) {
  return { command: process.execPath, args: [...args], env: compileCache }
}

async function connectV1(place: Place): Promise<ConnectedClient> {
  const client = await openV1(place)
  return {
    era: 'legacy',
    toolNames: async () => (await client.listTools()).tools.map(({ name }) => name),
    callTool: async (name, values = {}) => textOf(await client.callTool({ name, arguments: values })),
    close: () => client.close(),
  }
}

async function connectV2(place: Place, mode: 'legacy' | 'auto' | { pin: string }): Promise<ConnectedClient> {
  const client = await openV2(place, new Client(info, { versionNegotiation: { mode } }))
  return {
    era: client.getProtocolEra(),
    toolNames: async () => (await client.listTools()).tools.map(({ name }) => name),
    callTool: async (name, values = {}) => textOf(await client.callTool({ name, arguments: values })),
    close: () => client.close(),
  }
}

async function inspectorAt(place: Place, era: InspectorEra): Promise<ConnectedClient> {
  return {
    era: undefined,
    async toolNames() {
      const { tools } = await runInspector(place, era, ['--method', 'tools/list'])
      if (!Array.isArray(tools)) throw new Error('the inspector shows no tools')
      return tools.map((tool: { name: string }) => tool.name)
    },
    async callTool(name, values = {}) {
      const call = ['--method', 'tools/call', '--tool-name', name]
      return textOf(await runInspector(place, era, [...call, '--tool-args-json', JSON.stringify(values)]))
    },
    close: async () => {},
  }
}

/** The first text of a tool's result, whoever received it. Throws for an error of the tool. */
export function textOf(result: object): string {
  const content: unknown = 'content' in result ? result.content : undefined
  const first: unknown = Array.isArray(content) ? content[0] : undefined
  const isError = 'isError' in result && result.isError === true
  if (!isError && typeof first === 'object' && first !== null && 'text' in first) return String(first.text)
  throw new Error(`not a text result: ${JSON.stringify(result)}`)
}

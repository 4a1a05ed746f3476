import { fileURLToPath } from 'node:url'
import { Client, type ClientOptions, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport as StdioClientTransportV1 } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport as StreamableHTTPClientTransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { UpstreamEra } from '../src/index.ts'

export const mainFile = fileURLToPath(new URL('../src/main.ts', import.meta.url))

export type Place = { url: string } | { stdio: UpstreamEra }

/** `pinned` speaks 2026-07-28 or nothing, `auto` probes, `legacy` shakes hands. */
export type Mode = 'pinned' | 'auto' | 'legacy'

const info = { name: 'fixture-test', version: '1.0.0' }

export async function connectV2(place: Place, mode: Mode, options: ClientOptions = {}): Promise<Client> {
  const client = new Client(info, {
    ...options,
    versionNegotiation: { mode: mode === 'pinned' ? { pin: '2026-07-28' } : mode },
  })
  await client.connect(
    'url' in place
      ? new StreamableHTTPClientTransport(new URL(place.url))
      : new StdioClientTransport({ command: process.execPath, args: stdioArguments(place.stdio) }),
  )
  return client
}

export async function connectV1(place: Place): Promise<ClientV1> {
  const client = new ClientV1(info)
  await client.connect(
    'url' in place
      ? new StreamableHTTPClientTransportV1(new URL(place.url))
      : new StdioClientTransportV1({ command: process.execPath, args: stdioArguments(place.stdio) }),
  )
  return client
}

function stdioArguments(era: UpstreamEra): string[] {
  return [mainFile, '--stdio', '--era', era]
}

/** The text of a tool result, whichever SDK produced it. */
export function textOf(result: object): string {
  const content: unknown = 'content' in result ? result.content : undefined
  const first: unknown = Array.isArray(content) ? content[0] : undefined
  if (typeof first === 'object' && first !== null && 'text' in first) return String(first.text)
  throw new Error(`Not a text result: ${JSON.stringify(result)}`)
}

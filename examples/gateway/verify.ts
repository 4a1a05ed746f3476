// The gateway in front of a server from npm, as a user starts it: over HTTP, and over stdio with that server alone.
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'

const main = fileURLToPath(new URL('main.ts', import.meta.url))
const folder = await mkdtemp(join(tmpdir(), 'sallyport-gateway-'))
const config = join(folder, 'mcp.json')
const program = fileURLToPath(import.meta.resolve('@modelcontextprotocol/server-memory/dist/index.js'))
const memory = {
  command: process.execPath,
  args: [program],
  env: { MEMORY_FILE_PATH: join(folder, 'memory.jsonl') },
}

try {
  await writeFile(config, JSON.stringify({ mcpServers: { memory } }))
  await overHttp()
  await overStdio()
} finally {
  await rm(folder, { recursive: true })
}

async function overHttp(): Promise<void> {
  const child = spawn(process.execPath, [...process.execArgv, main, '--config', config], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  })
  child.stderr.pipe(process.stderr)
  const [line]: unknown[] = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    once(child, 'exit').then(([code]: unknown[]) => Promise.reject(new Error(`exit code ${String(code)}`))),
  ])
  const { url }: { url: string } = JSON.parse(String(line))
  const client = await connect(new StreamableHTTPClientTransport(new URL(url)))
  await expectAnswer(client, 'memory__read_graph')
  if (process.platform !== 'win32') await expectStatus(child)
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const [code]: unknown[] = await exited
  if (code !== 0) throw new Error(`after SIGTERM the exit code is ${String(code)}`)
}

async function expectStatus(child: ChildProcessByStdio<null, Readable, Readable>): Promise<void> {
  child.kill('SIGUSR2')
  for await (const line of createInterface({ input: child.stderr })) {
    const [, json] = /^info {2}status (.*)$/.exec(line) ?? []
    if (json === undefined) continue
    const { upstreams }: { upstreams: { name: string; reachable: boolean }[] } = JSON.parse(json)
    if (upstreams[0]?.name !== 'memory' || !upstreams[0].reachable) throw new Error(line)
    return
  }
  throw new Error('SIGUSR2 was not answered')
}

async function overStdio(): Promise<void> {
  const args = [...process.execArgv, main, '--config', config, '--stdio', '--server', 'memory']
  const client = await connect(new StdioClientTransport({ command: process.execPath, args }))
  await expectAnswer(client, 'read_graph')
}

async function connect(transport: StdioClientTransport | StreamableHTTPClientTransport): Promise<Client> {
  const client = new Client({ name: 'verify', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } })
  await client.connect(transport)
  return client
}

async function expectAnswer(client: Client, tool: string): Promise<void> {
  const { tools } = await client.listTools()
  if (!tools.some(({ name }) => name === tool)) throw new Error(`there is no tool ${tool}`)
  const { structuredContent } = await client.callTool({ name: tool })
  const answer = JSON.stringify(structuredContent)
  if (answer !== '{"entities":[],"relations":[]}') throw new Error(`${tool} answered ${answer}`)
  await client.close()
}

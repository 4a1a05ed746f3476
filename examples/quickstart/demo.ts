// One gateway, nothing configured, in front of four MCP servers from npm; then a client that uses all of them through it.
//   npm run demo                        shows what came back, and ends
//   npm run demo -- --stay [--port N]   stays up for a client of yours
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { createGateway } from '@sallyport/gateway'
import { nodeHandler } from '@sallyport/gateway/node'
import { createStartLog } from './start-log.ts'
import { startServers } from './servers.ts'
import { say, seconds } from './terminal.ts'
import { type Tour, takeTour } from './tour.ts'

/** What has to be closed at the end, the last one first. */
const closers: (() => unknown)[] = []
let end: Promise<never> | undefined
let endingSince = 0
let staying = false

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    // whoever asks again does not want to wait; but one Ctrl-C may come twice, from the terminal and from npm
    const patienceMs = signal === 'SIGINT' ? 1_000 : 0
    if (end !== undefined && performance.now() - endingSince >= patienceMs) process.exit(code)
    if (end !== undefined) return
    endingSince = performance.now()
    if (staying) say('\nStopping')
    void finish(staying ? 0 : code)
  })
}

try {
  const { stay, port } = readArguments()
  await demo(stay, port)
  if (!stay) await finish(0)
} catch (error) {
  // what fails while the demo is being stopped is no news
  if (end === undefined) process.stderr.write(`\nThe demo failed: ${explain(error)}\n`)
  await finish(1)
}

async function demo(stay: boolean, port: number): Promise<void> {
  const startedAt = performance.now()
  say('Sallyport: one endpoint in front of four MCP servers\n')

  const folder = await mkdtemp(join(tmpdir(), 'sallyport-demo-'))
  closers.push(() => rm(folder, { recursive: true, force: true }))
  const { servers, stop } = await startServers(folder)
  closers.push(stop)

  const audit = createMemoryAuditRecorder()
  const log = createStartLog(startedAt)
  // the first start on a cold and busy machine takes longer than a gateway in service would wait for a server
  const limits = { probeMs: 60_000 }
  const gateway = createGateway({ servers, audit, logger: log.logger, limits })
  closers.push(() => gateway.close({ deadlineMs: 2_000 }))
  const url = await listen(nodeHandler(gateway), port)
  await gateway.ready()
  log.mustBeComplete(Object.keys(servers))
  say(`\nThe gateway is ready after ${seconds(startedAt)}: ${url}\n`)

  const client = new Client(
    { name: 'sallyport-demo', version: '1.0.0' },
    { versionNegotiation: { mode: 'auto' } },
  )
  closers.push(() => client.close())
  await client.connect(new StreamableHTTPClientTransport(new URL(url)))
  const tour: Tour = { client, audit, servers: Object.keys(servers), folder }
  await takeTour(tour)
  say(`\nEverything worked, in ${seconds(startedAt)}.`)
  if (stay) {
    staying = true
    invite(url)
  }
}

function listen(handler: ReturnType<typeof nodeHandler>, port: number): Promise<string> {
  const server = createServer(handler)
  closers.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      if (typeof address === 'object' && address !== null) resolve(`http://127.0.0.1:${address.port}/mcp`)
    })
  })
}

function invite(url: string): void {
  const entry = { mcpServers: { sallyport: { type: 'http', url } } }
  say(`
The gateway stays up, for this machine only. For the mcp.json of your client:

${JSON.stringify(entry, undefined, 2)}

One server alone, without prefixes: ${url}/files
Ctrl-C stops the gateway and its servers and removes their files.`)
}

function readArguments(): { stay: boolean; port: number } {
  const { values } = parseArgs({
    options: { stay: { type: 'boolean', default: false }, port: { type: 'string', default: '0' } },
  })
  const port = Number(values.port)
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error(`--port ${values.port} is not a port number`)
  return { stay: values.stay, port }
}

function finish(code: number): Promise<never> {
  end ??= (async () => {
    for (const close of closers.toReversed()) {
      try {
        await close()
      } catch (error) {
        process.stderr.write(`While stopping: ${explain(error)}\n`)
        code ||= 1
      }
    }
    process.exit(code)
  })()
  return end
}

function explain(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

// The demo, as people run it: once to its end, and once staying up until it is told to stop.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'

const limitMs = 60_000

const tour = start()
mustBe(await tour.exitCode, 0, tour.output())
for (const shown of ['is 42', 'Hello from a file', 'knowledge-graph', 'Lisbon', '4 progress messages'])
  mustBe(tour.output().includes(shown), true, `"${shown}" is not in\n${tour.output()}`)

const staying = start('--stay')
const url = await staying.find(/"url": "([^"]+)"/)
const client = new Client({ name: 'verify', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } })
await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/files`)))
const { tools } = await client.listTools()
mustBe(
  tools.some(({ name }) => name === 'read_text_file'),
  true,
  'files alone has no read_text_file',
)
await client.close()
await staying.find(/(Ctrl-C)/)
staying.child.kill('SIGTERM')
mustBe(await staying.exitCode, 0, staying.output())

const refused = start('--port', 'none')
mustBe(await refused.exitCode, 1, refused.output())
mustBe(refused.output().includes('--port none is not a port number'), true, refused.output())

function start(...args: readonly string[]) {
  const demo = fileURLToPath(new URL('demo.ts', import.meta.url))
  const child = spawn(process.execPath, [...process.execArgv, demo, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: limitMs,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      child.emit('output')
    })
  const exitCode = once(child, 'close').then(([code]: unknown[]) => code)
  return {
    child,
    exitCode,
    output: () => output,
    async find(pattern: RegExp): Promise<string> {
      for (;;) {
        const found = pattern.exec(output)?.[1]
        if (found !== undefined) return found
        const ended = await Promise.race([once(child, 'output').then(() => false), exitCode.then(() => true)])
        if (ended && !pattern.test(output)) throw new Error(`${pattern} does not appear in\n${output}`)
      }
    },
  }
}

function mustBe(actual: unknown, expected: unknown, context: string): void {
  if (actual !== expected)
    throw new Error(`found ${String(actual)}, expected ${String(expected)}: ${context}`)
}

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ServerDefinition } from '@sallyport/core'

const everything = fileURLToPath(import.meta.resolve('@modelcontextprotocol/server-everything/dist/index.js'))
const filesystem = fileURLToPath(import.meta.resolve('@modelcontextprotocol/server-filesystem/dist/index.js'))
const memory = fileURLToPath(import.meta.resolve('@modelcontextprotocol/server-memory/dist/index.js'))

const readyWithinMs = 20_000
const endWithinMs = 2_000

export interface DemoServers {
  readonly servers: Readonly<Record<string, ServerDefinition>>
  readonly stop: () => Promise<void>
}

/** The gateway starts those on stdio itself; the one on HTTP is there before it, as servers on the network are. */
export async function startServers(folder: string): Promise<DemoServers> {
  const files = join(folder, 'files')
  await mkdir(files)
  await writeFile(join(files, 'hello.txt'), 'Hello from a file behind the gateway.\n')
  const remote = await startEverythingOverHttp()
  return {
    servers: {
      everything: stdio(everything),
      'everything-http': { url: remote.url },
      files: stdio(filesystem, [files]),
      memory: stdio(memory, [], { MEMORY_FILE_PATH: join(folder, 'memory.jsonl') }),
    },
    stop: remote.stop,
  }
}

/** Not by way of npx: that would ask the registry, and start one process more. */
function stdio(
  program: string,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): ServerDefinition {
  return { command: process.execPath, args: [program, ...args], env }
}

async function startEverythingOverHttp(): Promise<{ url: string; stop: () => Promise<void> }> {
  const preload = fileURLToPath(new URL('listen-on-loopback.ts', import.meta.url))
  const child = fork(everything, ['streamableHttp'], {
    execArgv: ['--disable-warning=ExperimentalWarning', '--import', preload],
    // it has a tool that shows its environment to whoever asks
    env: { PORT: '0' },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  let complaint = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-1_000)
  })
  const port = await new Promise<unknown>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`server-everything over HTTP ${why}\n${complaint}`))
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      fail(`is not ready after ${readyWithinMs / 1000} s`)
    }, readyWithinMs)
    child.once('error', (error) => fail(error.message))
    child.once('exit', (code) => fail(`ended with exit code ${code}`))
    child.once('message', (message) => {
      clearTimeout(timer)
      resolve(message)
    })
  })
  return {
    url: `http://127.0.0.1:${String(port)}/mcp`,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill()
      const timer = setTimeout(() => child.kill('SIGKILL'), endWithinMs)
      await exited
      clearTimeout(timer)
    },
  }
}

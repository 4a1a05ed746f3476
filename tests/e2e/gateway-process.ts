import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const readyWithinMs = 30_000
const endWithinMs = 15_000
const condition = '--conditions=@sallyport/source'
const repositoryRoot = fileURLToPath(new URL('../../', import.meta.url))

/** The same few programs start dozens of times. */
export const compileCache = { NODE_COMPILE_CACHE: join(tmpdir(), 'sallyport-compile-cache') }

/** As in the file of a client. */
export type ServerEntries = Readonly<Record<string, object>>

/** What starts the gateway, for clients that start it themselves: `process.execPath` and these. */
export function gatewayArguments(configFile: string, ...more: readonly string[]): string[] {
  return nodeArguments('examples/gateway/main.ts', '--config', configFile, ...more)
}

/** Runs a file of the repository from source. */
export function nodeArguments(file: string, ...more: readonly string[]): string[] {
  return [condition, join(repositoryRoot, file), ...more]
}

export interface ConfigFile {
  readonly path: string
  readonly folder: string
  write(content: ServerEntries | string): Promise<void>
  remove(): Promise<void>
}

export async function createConfigFile(content: ServerEntries | string): Promise<ConfigFile> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-e2e-'))
  const path = join(folder, 'mcp.json')
  const write = (next: ServerEntries | string) =>
    writeFile(path, typeof next === 'string' ? next : JSON.stringify({ mcpServers: next }, undefined, 2))
  await write(content)
  return { path, folder, write, remove: () => rm(folder, { recursive: true, force: true }) }
}

export interface Program {
  readonly child: ChildProcess
  readonly pid: number
  /** Everything written so far. */
  stdout(): string
  stderr(): string
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  /** Ends it as a user would, and by force if that does not help. */
  stop(): Promise<void>
}

/** Runs a Node program; its output is kept. */
export function startProgram(args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
  const child = spawn(process.execPath, args, {
    cwd: repositoryRoot,
    env: { ...process.env, ...compileCache, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const written = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => {
    written.stdout += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    written.stderr += chunk.toString()
  })
  child.stdin.on('error', () => {})
  const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? signal ?? 0))
  })
  return {
    child,
    pid: child.pid ?? 0,
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    ended,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM')
        const timer = setTimeout(() => child.kill('SIGKILL'), endWithinMs)
        await ended
        clearTimeout(timer)
      }
    },
  }
}

export interface HttpGateway extends Program {
  readonly url: string
  readonly config: ConfigFile
}

/** The gateway on a free port, ready to be called. */
export async function startHttpGateway(
  servers: ServerEntries | string,
  options: { env?: Readonly<Record<string, string>>; args?: readonly string[] } = {},
): Promise<HttpGateway> {
  const config = await createConfigFile(servers)
  const program = startProgram(gatewayArguments(config.path, ...(options.args ?? [])), options.env)
  const { child } = program
  const stop = async () => {
    await program.stop()
    await config.remove()
  }
  if (child.stdout === null) throw new Error('no standard output')
  const lines = createInterface({ input: child.stdout })
  const late = AbortSignal.timeout(readyWithinMs)
  const line = await Promise.race([
    once(lines, 'line', { signal: late }).then(([first]: unknown[]) => String(first)),
    program.ended.then((how) => `ended with ${how}`),
  ]).catch((error: unknown) => `not ready: ${String(error)}`)
  const url = /^\{"url":"(http[^"]+)"\}$/.exec(line)?.[1]
  if (url === undefined) {
    await stop()
    throw new Error(`the gateway said "${line}"\n${program.stderr()}`)
  }
  return { ...program, url, config, stop }
}

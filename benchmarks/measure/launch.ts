import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { delay } from '../load/closed-loop.ts'

export interface LaunchOptions {
  name: string
  command: string
  args: readonly string[]
  env?: Readonly<Record<string, string>>
  /** Resolves once the process serves; asked again every few milliseconds until then. */
  ready: (output: string) => Promise<boolean> | boolean
  limitMs?: number
}

export interface Launched {
  processId: number
  /** Everything it wrote to stdout so far. */
  output(): string
  /** Ends it and all it started. */
  stop(): Promise<void>
}

const running = new Set<ChildProcess>()
const keptOutput = 16 * 1024

/** Starts a program in a process group of its own, so that what it starts can be ended with it. */
export async function launch({
  name,
  command,
  args,
  env,
  ready,
  limitMs = 60_000,
}: LaunchOptions): Promise<Launched> {
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
  })
  running.add(child)
  let output = ''
  let complaints = ''
  let exit: string | undefined
  const exited = new Promise<void>((resolve) => {
    const settle = (reason: string) => {
      exit = reason
      running.delete(child)
      resolve()
    }
    child.once('error', (error) => settle(error.message))
    child.once('exit', (code, signal) => settle(`exit ${code ?? signal}`))
  })
  // A program that logs must not stop because nobody reads, and must not fill this process's memory either.
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (output.length < keptOutput) output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints = (complaints + text).slice(-keptOutput)
  })

  const stop = async () => {
    if (exit !== undefined) return
    signalGroup(child, 'SIGTERM')
    await Promise.race([exited, delay(3_000)])
    signalGroup(child, 'SIGKILL')
    await exited
  }
  const deadline = performance.now() + limitMs
  while (!(await ready(output))) {
    if (exit !== undefined)
      throw new Error(`${name} ended before it served (${exit}): ${gist(complaints + output)}`)
    if (performance.now() > deadline) {
      await stop()
      throw new Error(`${name} did not serve within ${limitMs} ms: ${gist(complaints + output)}`)
    }
    await delay(3)
  }
  return { processId: child.pid ?? 0, output: () => output, stop }
}

/** The port is free now; whoever is given it has to take it soon. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (typeof address !== 'object' || address === null) throw new Error('no free port')
  return address.port
}

/** The url in the line of JSON that our own programs print when they serve. */
export function announcedUrl(output: string): string | undefined {
  return /^\{"url":"([^"]+)"/m.exec(output)?.[1]
}

/** The line that names the error, or else the last ones. */
function gist(text: string): string {
  const lines = text.trim().split('\n')
  return lines.find((line) => /error\b.*:/i.test(line))?.trim() ?? lines.slice(-5).join(' | ')
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // The group is gone, which is what was wanted.
  }
}

// Detached groups do not hear Ctrl-C in this terminal, so whatever ends this process ends them.
process.on('exit', () => {
  for (const child of running) signalGroup(child, 'SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => process.exit(130))
}

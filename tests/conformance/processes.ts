import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export const repositoryRoot = fileURLToPath(new URL('../../', import.meta.url))

/** The same few programs start dozens of times in a run. */
const environment = { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache') }

const readyWithinMs = 20_000
const endWithinMs = 5_000
/** Of what a program that did not start said, in characters. */
const complaintLimit = 2_000

/** Everything started here, so that an interrupted run leaves nothing behind. */
const running = new Set<ChildProcess>()

export interface ServerProcess {
  url: string
  stop(): Promise<void>
}

/** Starts a Node program that prints one line `{"url": …}` when it is ready; the rest of its output goes to a file. */
export async function startServer(args: string[], logFile: string): Promise<ServerProcess> {
  const child = start(args)
  const log = createWriteStream(logFile)
  child.stderr.pipe(log, { end: false })
  child.stdout.pipe(log, { end: false })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-complaintLimit)
  })
  const url = await new Promise<string>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`${args.join(' ')} ${why}\n${complaint}`))
    const timer = setTimeout(() => fail(`was not ready within ${readyWithinMs} ms`), readyWithinMs)
    child.once('exit', (code) => fail(`ended with code ${code} before it was ready`))
    createInterface({ input: child.stdout }).on('line', (line) => {
      const ready = urlIn(line)
      if (ready === undefined) return
      clearTimeout(timer)
      resolve(ready)
    })
  })
  return { url, stop: () => stop(child) }
}

/** Runs a Node program to its end, its output into a file. Returns its exit code; a signal counts as 1. */
export async function runProcess(args: string[], logFile: string): Promise<number> {
  const child = start(args)
  const log = createWriteStream(logFile)
  child.stdout.pipe(log, { end: false })
  child.stderr.pipe(log, { end: false })
  await once(child, 'exit')
  return child.exitCode ?? 1
}

export function stopAll(): void {
  for (const child of running) child.kill('SIGKILL')
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), endWithinMs)
  await exited
  clearTimeout(timer)
}

function start(args: string[]) {
  const child = spawn(process.execPath, args, {
    cwd: repositoryRoot,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

function urlIn(line: string): string | undefined {
  try {
    const parsed: unknown = JSON.parse(line)
    return typeof parsed === 'object' && parsed !== null && 'url' in parsed ? String(parsed.url) : undefined
  } catch {
    return undefined
  }
}

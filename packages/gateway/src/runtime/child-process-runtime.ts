import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import {
  type NamedServer,
  type ServerExit,
  type ServerProcess,
  type ServerRuntime,
  type StdioServerDefinition,
  UpstreamError,
} from '@sallyport/core'
import { z } from 'zod'
import { checkOptions } from '../config/check-options.ts'
import { strict } from '../config/plain-issues.ts'
import { createOrphanGuard, type OrphanGuard } from './orphan-guard.ts'

export interface ChildProcessRuntimeOptions {
  /** Names of further variables that servers get from `environment`. */
  readonly inherit?: readonly string[]
  /** Where the inherited variables come from (default: the environment of this process). */
  readonly environment?: Readonly<Record<string, string | undefined>>
}

/**
 * Runs MCP servers as child processes, without a shell.
 *
 * A server gets a minimal environment: what a program needs to find its home, its files and other programs, the
 * names in `inherit`, and the `env` of its definition, which wins. Secrets of the gateway's environment stay there.
 *
 * Except on Windows, each server leads a process group of its own, and `kill` and the end of the server end the whole group: `npx`,
 * for one, starts the server as a grandchild. If this process dies without being able to clean up (SIGKILL, out of memory),
 * a guard process ends the groups that are left.
 */
export function createChildProcessRuntime(options: ChildProcessRuntimeOptions = {}): ServerRuntime {
  checkOptions('createChildProcessRuntime', optionsSchema, options)
  // The one place of the package that reads the environment: without PATH not even `npx` is found, and the default has to work.
  // Only the names in the list below leave it.
  // oxlint-disable-next-line node/no-process-env
  const environment = options.environment ?? process.env
  const guard = createOrphanGuard()
  return {
    start: ({ name, definition }, signal) =>
      start(
        name,
        definition,
        minimalEnvironment(environment, options.inherit ?? [], definition.env),
        guard,
        signal,
      ),
  }
}

const optionsSchema = strict({
  inherit: z.array(z.string().min(1)).optional(),
  // Not z.record: for zod, process.env is not a plain object.
  environment: z.custom(isEnvironment, { error: 'expected an object of texts' }).optional(),
})

function isEnvironment(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.values(value).every((one) => one === undefined || typeof one === 'string')
}

const isWindows = process.platform === 'win32'

const inheritedNames = isWindows
  ? [
      'APPDATA',
      'COMSPEC',
      'HOMEDRIVE',
      'HOMEPATH',
      'LOCALAPPDATA',
      'NUMBER_OF_PROCESSORS',
      'OS',
      'PATH',
      'PATHEXT',
      'PROCESSOR_ARCHITECTURE',
      'PROGRAMDATA',
      'PROGRAMFILES',
      'SYSTEMDRIVE',
      'SYSTEMROOT',
      'TEMP',
      'TMP',
      'USERNAME',
      'USERPROFILE',
      'WINDIR',
    ]
  : ['HOME', 'LANG', 'LANGUAGE', 'LOGNAME', 'PATH', 'SHELL', 'TERM', 'TMPDIR', 'TZ', 'USER']

function minimalEnvironment(
  source: Readonly<Record<string, string | undefined>>,
  inherit: readonly string[],
  own: Readonly<Record<string, string>> = {},
): Record<string, string> {
  // Windows does not distinguish upper and lower case here.
  const plain = (name: string) => (isWindows ? name.toUpperCase() : name)
  const wanted = new Set([...inheritedNames, ...inherit].map(plain))
  const environment = new Map<string, string>()
  for (const [name, value] of Object.entries(source)) {
    if (value === undefined || !(wanted.has(plain(name)) || name.startsWith('LC_'))) continue
    // An exported shell function: code, not a setting.
    if (value.startsWith('()')) continue
    environment.set(plain(name), value)
  }
  for (const [name, value] of Object.entries(own)) environment.set(plain(name), value)
  return Object.fromEntries(environment)
}

async function start(
  server: NamedServer['name'],
  definition: StdioServerDefinition,
  env: Record<string, string>,
  guard: OrphanGuard,
  signal: AbortSignal,
): Promise<ServerProcess> {
  signal.throwIfAborted()
  const child = spawnChild(server, definition, env)
  // Writing to a server that has just died is no reason for the gateway to die: `exited` tells what happened.
  child.stdin.on('error', () => {})
  const running = new ChildProcessServer(child, guard)
  const abort = () => running.kill()
  signal.addEventListener('abort', abort)
  try {
    await running.spawned
    signal.throwIfAborted()
    return running
  } catch (error) {
    signal.throwIfAborted()
    throw startFailure(server, definition, error)
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function spawnChild(
  server: string,
  definition: StdioServerDefinition,
  env: Record<string, string>,
): ChildProcessWithoutNullStreams {
  try {
    return spawn(definition.command, definition.args ?? [], {
      env,
      ...(definition.cwd === undefined ? {} : { cwd: definition.cwd }),
      detached: !isWindows,
      stdio: 'pipe',
      windowsHide: true,
    })
  } catch (error) {
    // Some failures are thrown at once, such as arguments that no process can have.
    throw startFailure(server, definition, error)
  }
}

class ChildProcessServer implements ServerProcess {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  readonly exited: Promise<ServerExit>
  readonly pid?: number
  /** Rejects when there is no process. */
  readonly spawned: Promise<void>
  readonly #child: ChildProcessWithoutNullStreams
  #ended = false

  constructor(child: ChildProcessWithoutNullStreams, guard: OrphanGuard) {
    this.#child = child
    this.stdin = child.stdin
    this.stdout = child.stdout
    this.stderr = child.stderr
    if (child.pid !== undefined) this.pid = child.pid
    this.spawned = new Promise((resolve, reject) => {
      child.once('spawn', resolve)
      // Later errors are those of a signal that could not be sent.
      child.on('error', reject)
    })
    if (!isWindows && child.pid !== undefined) guard.add(child.pid)
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        // Whoever is left in the group has lost the server it belonged to.
        this.kill()
        this.#ended = true
        if (!isWindows && child.pid !== undefined) guard.remove(child.pid)
        const settle = () => resolve({ code, signal })
        // Closed streams prove that no grandchild holds them; one that has left the group must not delay the news for ever.
        child.once('close', settle)
        setTimeout(settle, longestWaitForStreamsMs).unref()
      })
    })
  }

  kill(): void {
    const { pid } = this
    // Once it has ended, its number may belong to somebody else.
    if (this.#ended || pid === undefined) return
    if (isWindows) {
      spawn('taskkill', ['/pid', String(pid), '/t', '/f'], { stdio: 'ignore', windowsHide: true }).on(
        'error',
        () => this.#child.kill('SIGKILL'),
      )
      return
    }
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // The group is gone already.
      this.#child.kill('SIGKILL')
    }
  }
}

const longestWaitForStreamsMs = 1_000

function startFailure(server: string, definition: StdioServerDefinition, cause: unknown): UpstreamError {
  return new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', server, explain(definition, cause), {
    cause,
    retrySafe: true,
  })
}

function explain({ command, cwd }: StdioServerDefinition, cause: unknown): string {
  // Node.js reports a missing folder as if the program were missing.
  if (cwd !== undefined && !isFolder(cwd))
    return `cannot be started: the folder "${cwd}" (cwd) does not exist`
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined
  if (code === 'ENOENT') {
    return /[/\\]/.test(command)
      ? `cannot be started: there is no program "${command}"`
      : `cannot be started: no program "${command}" on its PATH; install it, write its full path, or set PATH in "env"`
  }
  if (code === 'EACCES') return `cannot be started: "${command}" is not a program that may be executed`
  if (code === 'EINVAL' && isWindows) {
    return `cannot be started: "${command}" is a script; use "cmd" as the command and ["/c", "${command}", …] as args`
  }
  if (code === 'E2BIG') return 'cannot be started: its arguments and environment are too long'
  return `cannot be started (${typeof code === 'string' ? code : 'unknown failure'})`
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

import {
  type Logger,
  type NamedServer,
  SallyportError,
  type ServerProcess,
  type ServerRuntime,
  type StdioServerDefinition,
  UpstreamError,
} from '@sallyport/core'
import { onOneLine } from '../wire/json-rpc.ts'
import { processExited, processStarted } from '../observe/channels.ts'
import { LineSplitter } from '../wire/line-splitter.ts'
import type { Reachability } from './reachability.ts'
import { BlamelessError } from './blameless-error.ts'

export interface StdioChildOptions {
  readonly server: NamedServer & { readonly definition: StdioServerDefinition }
  readonly runtime: ServerRuntime
  readonly logger: Logger
  readonly maxLineBytes: number
  readonly reachability: Reachability
  readonly onMessage: (line: Buffer) => void
  /** Called once, when nothing can be sent any more. `crashed`: it was not the gateway that ended it. */
  readonly onClosed: (error: SallyportError, crashed: boolean) => void
}

/** A server gets this long to end after its input was closed (spec: stdio, Shutdown). */
const EXIT_GRACE_MS = 2_000
/** The news that a process has ended comes soon after the end of its output. */
const END_NEWS_MS = 500
/** Of its standard error, this much is told when it ends by itself: enough for a message, or the end of a stack. */
const LAST_LINES = 10
const LAST_CHARACTERS = 1_000
const LINE_FEED = Buffer.from('\n')

/** One running server and its pipes. Messages written before it runs wait for it. */
export class StdioChild {
  readonly #options: StdioChildOptions
  readonly #abort = new AbortController()
  #process: ServerProcess | undefined
  #outbox: Buffer[] = []
  #outboxBytes = 0
  #flushScheduled = false
  #closed = false
  #startedAt = 0
  /** The end of its standard error. */
  #lastLines: string[] = []
  #gone: Promise<void> = Promise.resolve()

  constructor(options: StdioChildOptions) {
    this.#options = options
    this.#gone = this.#run()
  }

  get closed(): boolean {
    return this.#closed
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** Milliseconds since the process was started. */
  get uptimeMs(): number {
    return this.#process === undefined ? 0 : performance.now() - this.#startedAt
  }

  /** All messages of one turn of the event loop go out in one write. */
  readonly write = (message: Buffer): void => {
    if (this.#closed) return
    this.#outbox.push(onOneLine(message), LINE_FEED)
    this.#outboxBytes += message.length
    if (this.#outboxBytes + (this.#process?.stdin.writableLength ?? 0) > this.#options.maxLineBytes * 2) {
      this.#fail('does not read its input')
      return
    }
    if (this.#flushScheduled || this.#process === undefined) return
    this.#flushScheduled = true
    setImmediate(() => this.#flush())
  }

  /** Closes the server's input and waits for its end; kills it if it stays. */
  async close(): Promise<void> {
    const { name } = this.#options.server
    this.#end(new BlamelessError('ERR_UPSTREAM_UNAVAILABLE', name, 'was stopped by the gateway'), false)
    await this.#gone
  }

  /** Ends a server that does not answer any more: a new process may. */
  giveUp(): void {
    const { logger, server } = this.#options
    if (this.#closed) return
    logger.warn('server does not answer any more and is stopped', { server: server.name })
    const error = this.#error('does not answer any more and was stopped')
    this.#options.reachability.failed(error)
    this.#end(error, false)
  }

  async #run(): Promise<void> {
    const { server, runtime, maxLineBytes, onMessage, reachability } = this.#options
    let child: ServerProcess
    try {
      child = await runtime.start(server, this.#abort.signal)
    } catch (cause) {
      const known = SallyportError.isInstance(cause)
      const error = known ? cause : this.#error('could not be started', { cause, retrySafe: true })
      if (!this.#closed) reachability.failed(error)
      this.#end(error)
      return
    }
    this.#process = child
    this.#startedAt = performance.now()
    const started = { server: server.name, pid: child.pid }
    if (processStarted.hasSubscribers) processStarted.publish(started)
    const lines = new LineSplitter(onMessage, maxLineBytes)
    child.stdout.on('data', (chunk: Buffer) => {
      if (this.#closed) return
      reachability.answered()
      try {
        lines.push(chunk)
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        this.#fail(`wrote too much: ${error.message}`)
      }
    })
    child.stdin.on('error', () => {})
    child.stdout.on('error', () => {})
    // a server that ends closes its output first; one that only closes it will never answer again
    child.stdout.once('end', () => {
      setTimeout(() => this.#fail('closed its output'), END_NEWS_MS).unref()
    })
    this.#logErrors(child)
    if (this.#closed) this.#stop(child)
    else this.#flush()
    const exit = await child.exited
    const how = exit.signal === null ? `exit code ${exit.code}` : `signal ${exit.signal}`
    const expected = this.#closed
    if (processExited.hasSubscribers) {
      const { code: exitCode, signal } = exit
      processExited.publish({ process: started, exitCode, signal, expected, uptimeMs: this.uptimeMs })
    }
    const error = this.#error(`ended (${how})`)
    if (!expected) this.#failed(error)
    this.#end(error)
  }

  #flush(): void {
    this.#flushScheduled = false
    const child = this.#process
    if (child === undefined || this.#outbox.length === 0 || !child.stdin.writable) return
    const parts = this.#outbox
    this.#outbox = []
    this.#outboxBytes = 0
    child.stdin.write(Buffer.concat(parts))
  }

  #fail(message: string): void {
    // the output of a server that was told to end ends as well
    if (this.#closed) return
    const error = this.#error(message)
    this.#failed(error)
    this.#end(error)
  }

  /** What it said last is for whoever runs the gateway, not for callers. A server that goes on failing is told of once. */
  #failed(error: UpstreamError): void {
    const { logger, server, reachability } = this.#options
    const isNews = reachability.reachable !== false
    reachability.failed(error)
    const stderr = this.#lastLines.join('\n').slice(-LAST_CHARACTERS)
    const fields = { server: server.name, reason: error.detail, ...(stderr !== '' && { stderr }) }
    logger[isNews ? 'warn' : 'debug']('server has failed', fields)
  }

  #end(error: SallyportError, crashed = true): void {
    if (this.#closed) return
    this.#closed = true
    this.#outbox = []
    this.#abort.abort()
    if (this.#process !== undefined) this.#stop(this.#process)
    this.#options.onClosed(error, crashed)
  }

  #stop(child: ServerProcess): void {
    const timer = setTimeout(() => child.kill(), EXIT_GRACE_MS)
    void child.exited.then(() => clearTimeout(timer))
    child.stdin.end()
    child.stdout.resume()
  }

  /** What a server says on stderr is its log, nothing more (spec: stdio). Long lines are cut. */
  #logErrors(child: ServerProcess): void {
    let rest = ''
    child.stderr.on('error', () => {})
    child.stderr.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n')
      rest = (lines.pop() ?? '').slice(-4_000)
      for (const line of lines) this.#loggedError(line)
    })
    child.stderr.once('end', () => this.#loggedError(rest))
  }

  #loggedError(text: string): void {
    if (text.trim() === '') return
    const { logger, server } = this.#options
    const line = text.slice(0, LAST_CHARACTERS)
    logger.debug('server wrote to stderr', { server: server.name, line })
    this.#lastLines.push(line)
    if (this.#lastLines.length > LAST_LINES) this.#lastLines.shift()
  }

  #error(message: string, options?: { cause?: unknown; retrySafe?: boolean }): UpstreamError {
    return new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', this.#options.server.name, message, options)
  }
}

import type { Call } from '../call/call.ts'
import { DuplexChannel } from './duplex-channel.ts'
import type { OwnedProcess } from './process-budget.ts'
import type { LegacyTransport, LegacyTransportOwner } from './legacy-transport.ts'
import { type ProcessStatus, processStatus } from './process-status.ts'
import type { RestartBackoff } from './restart-backoff.ts'
import { StdioChild, type StdioChildOptions } from './stdio-child.ts'

export interface StdioTransportOptions extends Omit<StdioChildOptions, 'onMessage' | 'onClosed'> {
  readonly timeoutMs: number
  readonly now: () => number
  /** Timeouts in a row after which a process counts as stuck. */
  readonly stuckAfter: number
  /** Told how the process did. */
  readonly restarts: RestartBackoff
}

/** A child process of one session alone: whatever the server says is meant for this session. */
export class StdioTransport implements LegacyTransport, OwnedProcess {
  readonly speaksUnasked = true
  readonly #child: StdioChild
  readonly #channel: DuplexChannel
  readonly #sweep: NodeJS.Timeout
  readonly #now: () => number
  /** Milliseconds since the epoch. */
  usedAt: number

  constructor(options: StdioTransportOptions, owner: LegacyTransportOwner) {
    const { server, logger, timeoutMs, now } = options
    this.#now = now
    this.usedAt = now()
    this.#child = new StdioChild({
      ...options,
      onMessage: (line) => this.#channel.receive(line),
      onClosed: (error, crashed) => {
        clearInterval(this.#sweep)
        if (crashed) options.restarts.crashed(error, this.#child.uptimeMs, this.#channel.hasServed)
        this.#channel.fail(error)
        owner.closed(error)
      },
    })
    this.#channel = new DuplexChannel({
      server: server.name,
      write: this.#child.write,
      fromServer: (message, scan, call) => owner.fromServer(message, scan, call ?? this.#onlyCall()),
      garbage: (text) =>
        logger.warn('server wrote something that is no message', { server: server.name, text }),
      timeoutMs,
      now,
      stuck: { afterTimeouts: options.stuckAfter, tell: () => this.#child.giveUp() },
    })
    this.#sweep = setInterval(() => {
      this.#channel.sweep()
      if (this.busy) this.usedAt = now()
    }, 1_000)
    this.#sweep.unref()
  }

  initialize(call: Call): void {
    this.#channel.send(call)
  }

  get busy(): boolean {
    return this.#channel.openCount > 0
  }

  send(call: Call): void {
    this.usedAt = this.#now()
    this.#channel.send(call)
  }

  cancel(call: Call, reason: string | undefined): void {
    this.#channel.cancel(call, reason)
  }

  notify(message: Buffer): void {
    this.#child.write(message)
  }

  respond(message: Buffer): void {
    this.#child.write(message)
  }

  listen(): void {}

  close(): void {
    void this.#child.close()
  }

  get process(): ProcessStatus {
    return processStatus(this.#child, this.#channel, 'session')
  }

  /** Closes, and resolves when the process has ended. */
  stop(): Promise<void> {
    return this.#child.close()
  }

  /** On stdio nothing says which call a question belongs to; with one call open there is no doubt. */
  #onlyCall(): Call | undefined {
    if (this.#channel.openCount !== 1) return undefined
    const [call] = this.#channel.openCalls
    return call
  }
}

import type { Call } from '../call/call.ts'
import { isRecord, parseJson } from '../wire/client-message.ts'
import { META_LOG_LEVEL, RpcCode } from '../wire/protocol.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import { DuplexChannel } from './duplex-channel.ts'
import { type ModernLink, type ModernNotice, timeoutOf } from './modern-link.ts'
import { type ProcessStatus, processStatus } from './process-status.ts'
import { StdioChild } from './stdio-child.ts'
import type { StdioTransportOptions } from './stdio-transport.ts'

export interface ModernStdioLinkOptions extends StdioTransportOptions {
  readonly notice: ModernNotice
  readonly onClosed: () => void
  /** Milliseconds that the process is kept when nobody uses it any more. */
  readonly idleMs: number
  /** The same for a process that nobody has used yet, because it was only asked what it speaks. */
  readonly unusedMs: number
}

/** One child process of the modern era. It keeps nothing between calls, so everyone of a tenant can use it. */
export class ModernStdioLink implements ModernLink {
  readonly #child: StdioChild
  readonly #channel: DuplexChannel
  readonly #sweep: NodeJS.Timeout
  readonly #timeoutMs: number
  #usedAt: number
  #used = false

  constructor(options: ModernStdioLinkOptions) {
    const { server, logger, timeoutMs, now, notice } = options
    this.#timeoutMs = timeoutMs
    this.#child = new StdioChild({
      ...options,
      onMessage: (line) => this.#channel.receive(line),
      onClosed: (error, crashed) => {
        clearInterval(this.#sweep)
        // a server of the legacy era may well end because of a question that it does not know
        if (crashed && this.#used)
          options.restarts.crashed(error, this.#child.uptimeMs, this.#channel.hasServed)
        options.onClosed()
        this.#channel.fail(error)
      },
    })
    this.#channel = new DuplexChannel({
      server: server.name,
      write: this.#child.write,
      fromServer: (message, scan, call) => {
        const meant = call ?? this.#loggingCall(message, scan)
        if (meant !== undefined && scan.idStart < 0) notice(message, scan, meant)
      },
      garbage: (text) =>
        logger.warn('server wrote something that is no message', { server: server.name, text }),
      timeoutMs,
      now,
      stuck: { afterTimeouts: options.stuckAfter, tell: () => this.#child.giveUp() },
      status: httpStatus,
    })
    this.#usedAt = now()
    this.#sweep = setInterval(() => {
      this.#channel.sweep()
      if (this.#channel.openCount > 0) this.#usedAt = now()
      else if (now() - this.#usedAt > (this.#used ? options.idleMs : options.unusedMs)) void this.close()
    }, 1_000)
    this.#sweep.unref()
  }

  send(call: Call): void {
    if (call.method !== 'server/discover') this.#used = true
    this.#channel.send(call, timeoutOf(call, this.#timeoutMs))
  }

  cancel(call: Call, reason: string | undefined): void {
    this.#channel.cancel(call, reason)
  }

  get process(): ProcessStatus {
    return processStatus(this.#child, this.#channel, 'modern')
  }

  close(): Promise<void> {
    return this.#child.close()
  }

  /**
   * A log message does not say which call it belongs to. It is passed on only if there is no doubt: one call is open, or
   * one of those open has asked for logs.
   */
  #loggingCall(message: Buffer, scan: MessageScan): Call | undefined {
    if (message.toString('latin1', scan.methodStart, scan.methodEnd) !== '"notifications/message"')
      return undefined
    const asking = [...this.#channel.openCalls].filter(asksForLogs)
    return asking.length === 1 ? asking[0] : undefined
  }
}

function asksForLogs(call: Call): boolean {
  const params = parseJson(call.bytes.subarray(call.scan.paramsStart, call.scan.paramsEnd))
  const meta = isRecord(params) ? params['_meta'] : undefined
  return isRecord(meta) && META_LOG_LEVEL in meta
}

/**
 * The HTTP status that a server of the modern era gives to its errors (2026-07-28 streamable-http), for servers that have
 * no HTTP of their own.
 */
function httpStatus(response: Buffer, scan: MessageScan): number {
  if (scan.errorStart < 0) return 200
  const error = parseJson(response.subarray(scan.errorStart, scan.errorEnd))
  switch (isRecord(error) ? error['code'] : undefined) {
    case RpcCode.methodNotFound:
      return 404
    case RpcCode.parseError:
    case RpcCode.invalidRequest:
    case RpcCode.headerMismatch:
    case RpcCode.missingClientCapability:
    case RpcCode.unsupportedProtocolVersion:
      return 400
    default:
      return 200
  }
}

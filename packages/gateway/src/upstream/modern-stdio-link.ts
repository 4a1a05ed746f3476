import { envelopeOf } from '../aggregate/envelope.ts'
import type { Call } from '../call/call.ts'
import { isRecord, parseJson } from '../wire/client-message.ts'
import { errorMessage } from '../wire/json-rpc.ts'
import { modernStatus } from '../wire/modern-status.ts'
import { PARAM_PREFIX, paramHeaderFault } from '../wire/param-headers.ts'
import { META_LOG_LEVEL, RpcCode } from '../wire/protocol.ts'
import { type MessageScan, scanMessage } from '../wire/scan-message.ts'
import { splice } from '../wire/splice.ts'
import { DuplexChannel } from './duplex-channel.ts'
import { type ModernLink, type ModernNotice, timeoutOf } from './modern-link.ts'
import { type ProcessStatus, processStatus } from './process-status.ts'
import { StdioChild } from './stdio-child.ts'
import type { OwnedProcess } from './process-budget.ts'
import type { StdioTransportOptions } from './stdio-transport.ts'
import type { ToolAnnotations } from './tool-annotations.ts'

export interface ModernStdioLinkOptions extends StdioTransportOptions {
  readonly notice: ModernNotice
  readonly annotations: ToolAnnotations
  readonly onClosed: () => void
  /** Milliseconds that the process is kept when nobody uses it any more. */
  readonly idleMs: number
  /** The same for a process that nobody has used yet, because it was only asked what it speaks. */
  readonly unusedMs: number
}

/** One child process of the modern era. It keeps nothing between calls, so everyone of a tenant can use it. */
export class ModernStdioLink implements ModernLink, OwnedProcess {
  readonly #child: StdioChild
  readonly #channel: DuplexChannel
  readonly #sweep: NodeJS.Timeout
  readonly #timeoutMs: number
  readonly #annotations: ToolAnnotations
  /** Calls that wait until it is known which headers they need. */
  readonly #unchecked = new Set<Call>()
  #usedAt: number
  #used = false

  constructor(options: ModernStdioLinkOptions) {
    const { server, logger, timeoutMs, now, notice } = options
    this.#timeoutMs = timeoutMs
    this.#annotations = options.annotations
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
        for (const call of this.#unchecked) call.fail(error)
        this.#unchecked.clear()
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
    // a client on HTTP repeats parameters in headers; who reads the message has to compare them, and the server sees none
    const isRepeated =
      call.method === 'tools/call' && call.headers.length > 0 && call.lacksParamHeaders !== true
    if (isRepeated && call.context.era === 'modern') this.#checked(call)
    else this.#send(call)
  }

  #send(call: Call): void {
    this.#channel.send(call, timeoutOf(call, this.#timeoutMs))
  }

  /** Asks for the server's tools only if the client has sent parameters in headers; else what is known has to do. */
  #checked(call: Call): void {
    const hasSome = call.headers.some((name, at) => at % 2 === 0 && name.startsWith(PARAM_PREFIX))
    if (!hasSome && this.#annotations.isEmpty) {
      this.#send(call)
      return
    }
    const message = parseJson(call.edits.length === 0 ? call.bytes : splice(call.bytes, ...call.edits))
    const params = isRecord(message) && isRecord(message['params']) ? message['params'] : {}
    const tool = String(params['name'])
    const compare = () => {
      const annotated = this.#annotations.known(call.context, tool) ?? []
      const fault = paramHeaderFault(annotated, params['arguments'], (name) => headerIn(call.headers, name))
      if (fault === undefined) this.#send(call)
      else refuse(call, fault)
    }
    if (!hasSome || this.#annotations.known(call.context, tool) !== undefined) {
      compare()
      return
    }
    this.#unchecked.add(call)
    void this.#annotations.learn(call.context, envelopeOf(params)).then(() => {
      if (this.#unchecked.delete(call)) compare()
    })
  }

  cancel(call: Call, reason: string | undefined): void {
    if (!this.#unchecked.delete(call)) this.#channel.cancel(call, reason)
  }

  get process(): ProcessStatus {
    return processStatus(this.#child, this.#channel, 'modern')
  }

  get busy(): boolean {
    return this.#channel.openCount > 0
  }

  get usedAt(): number {
    return this.#usedAt
  }

  close(): Promise<void> {
    return this.#child.close()
  }

  /**
   * A log message does not say which call it belongs to. It is passed on only if there is no doubt whom it is for: one of the
   * open calls has asked for logs, or those that have are of one session (of the legacy era, where a session has a log).
   */
  #loggingCall(message: Buffer, scan: MessageScan): Call | undefined {
    if (message.toString('latin1', scan.methodStart, scan.methodEnd) !== '"notifications/message"')
      return undefined
    const [first, ...others] = this.#channel.openCalls.filter(asksForLogs)
    const session = first?.context.sessionId
    const isAlone = others.every(({ context }) => session !== undefined && context.sessionId === session)
    return isAlone ? first : undefined
  }
}

function headerIn(headers: readonly string[], name: string): string | undefined {
  const at = headers.findIndex((entry, index) => index % 2 === 0 && entry === name)
  return at < 0 ? undefined : headers[at + 1]
}

function refuse(call: Call, fault: string): void {
  const error = { code: RpcCode.headerMismatch, message: `Header mismatch: ${fault}` }
  const response = errorMessage(call.idText, error)
  const scan = scanMessage(response.toString('latin1'))
  if (scan !== undefined) call.final(response, scan, 400)
}

function asksForLogs(call: Call): boolean {
  const params = parseJson(call.bytes.subarray(call.scan.paramsStart, call.scan.paramsEnd))
  const meta = isRecord(params) ? params['_meta'] : undefined
  return isRecord(meta) && META_LOG_LEVEL in meta
}

/** For servers that have no HTTP of their own. */
function httpStatus(response: Buffer, scan: MessageScan): number {
  if (scan.errorStart < 0) return 200
  const error = parseJson(response.subarray(scan.errorStart, scan.errorEnd))
  return modernStatus(isRecord(error) ? error['code'] : undefined)
}

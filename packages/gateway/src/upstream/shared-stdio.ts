import { type RequestContext, type SallyportError, UpstreamError } from '@sallyport/core'
import type { Call } from '../call/call.ts'
import { InternalCall } from '../call/internal-call.ts'
import { isRecord, parseJson } from '../wire/client-message.ts'
import { errorMessage, notificationMessage, resultMessage } from '../wire/json-rpc.ts'
import { isWithin } from '../wire/resource-uri.ts'
import { type MessageScan, scanMessage } from '../wire/scan-message.ts'
import { LOG_LEVELS, RpcCode } from '../wire/protocol.ts'
import { DuplexChannel } from './duplex-channel.ts'
import type { OwnedProcess } from './process-budget.ts'
import type { LegacyTransport, LegacyTransportOwner } from './legacy-transport.ts'
import { type ProcessStatus, processStatus } from './process-status.ts'
import { notSent } from './not-sent.ts'
import { StdioChild } from './stdio-child.ts'
import type { StdioTransportOptions } from './stdio-transport.ts'

export interface SharedStdioOptions extends StdioTransportOptions {
  /** The `params` of the one `initialize` that the server sees: no capabilities, so that it asks nobody anything. */
  readonly initializeParams: unknown
  readonly context: RequestContext
  /** Milliseconds that the process is kept when nobody uses it. */
  readonly idleMs: number
  readonly onClosed: () => void
}

/** One child process of the legacy era that several sessions use; each holds a {@link SharedStdioTransport}. */
export class SharedStdio implements OwnedProcess {
  readonly #options: SharedStdioOptions
  readonly #child: StdioChild
  readonly #channel: DuplexChannel
  readonly #members = new Set<SharedStdioTransport>()
  readonly #owners = new WeakMap<Call, SharedStdioTransport>()
  readonly #waiting: (() => void)[] = []
  readonly #sweep: NodeJS.Timeout
  #initializeResult: string | undefined
  /** Milliseconds since the epoch. */
  usedAt: number
  #failure: SallyportError | undefined
  #idleTimer: NodeJS.Timeout | undefined

  constructor(options: SharedStdioOptions) {
    const { server, logger, timeoutMs, now } = options
    this.#options = options
    this.usedAt = now()
    this.#child = new StdioChild({
      ...options,
      onMessage: (line) => this.#channel.receive(line),
      onClosed: (error, crashed) => this.#closed(error, crashed),
    })
    this.#channel = new DuplexChannel({
      server: server.name,
      write: this.#child.write,
      fromServer: (message, scan, call) => this.#fromServer(message, scan, call),
      garbage: (text) =>
        logger.warn('server wrote something that is no message', { server: server.name, text }),
      timeoutMs,
      now,
      stuck: { afterTimeouts: options.stuckAfter, tell: () => this.#child.giveUp() },
    })
    this.#sweep = setInterval(() => this.#channel.sweep(), 1_000)
    this.#sweep.unref()
    this.#handshake()
  }

  join(owner: LegacyTransportOwner): SharedStdioTransport {
    clearTimeout(this.#idleTimer)
    const member = new SharedStdioTransport(this, owner)
    this.#members.add(member)
    return member
  }

  leave(member: SharedStdioTransport): void {
    this.#members.delete(member)
    for (const uri of [...member.subscriptions]) this.#unsubscribe(member, uri)
    for (const call of this.#channel.openCalls) {
      if (this.#owners.get(call) === member) this.#channel.cancel(call, 'the session ended')
    }
    if (this.#members.size > 0) return
    this.#idleTimer = setTimeout(() => void this.close(), this.#options.idleMs)
    this.#idleTimer.unref()
  }

  get busy(): boolean {
    return this.#channel.openCount > 0
  }

  async close(): Promise<void> {
    clearTimeout(this.#idleTimer)
    await this.#child.close()
  }

  get process(): ProcessStatus {
    return processStatus(this.#child, this.#channel, 'shared')
  }

  /** Answers a member's `initialize` with what the server said to ours. */
  initialize(call: Call): void {
    this.#whenReady(call, () => {
      const response = resultMessage(call.idText, this.#initializeResult ?? '{}')
      call.final(response, scanOf(response), 200)
    })
  }

  send(member: SharedStdioTransport, call: Call): void {
    this.#whenReady(call, () => {
      if (this.#answersItself(member, call)) return
      this.usedAt = this.#options.now()
      this.#owners.set(call, member)
      this.#channel.send(call)
    })
  }

  cancel(call: Call, reason: string | undefined): void {
    this.#channel.cancel(call, reason)
  }

  notify(message: Buffer): void {
    if (this.#initializeResult !== undefined) this.#child.write(message)
  }

  #handshake(): void {
    const { server, context, initializeParams, timeoutMs } = this.#options
    const call = new InternalCall(server.name, context, 'initialize', initializeParams, [], (answer) => {
      if ('result' in answer) {
        this.#initializeResult = JSON.stringify(answer.result)
        this.#child.write(notificationMessage('notifications/initialized'))
        for (const proceed of this.#waiting.splice(0)) proceed()
        return
      }
      const error =
        'error' in answer
          ? new UpstreamError(
              'ERR_UPSTREAM_ERA',
              server.name,
              `refused to initialize: ${answer.error.message}`,
            )
          : answer
      this.#failure = error
      for (const proceed of this.#waiting.splice(0)) proceed()
      void this.close()
    })
    this.#channel.send(call, timeoutMs)
  }

  #whenReady(call: Call, proceed: () => void): void {
    const go = () => {
      const failure = this.#failure
      // for a member's handshake this is how the server answered it, not something that came before
      if (failure !== undefined) call.fail(call.method === 'initialize' ? failure : notSent(failure))
      else proceed()
    }
    if (this.#initializeResult !== undefined || this.#failure !== undefined) go()
    else this.#waiting.push(go)
  }

  /** State that the server keeps once but several sessions set: log level and resource subscriptions. */
  #answersItself(member: SharedStdioTransport, call: Call): boolean {
    if (call.method === 'logging/setLevel') {
      const wanted = paramOf(call, 'level')
      if (wanted === undefined || !LOG_LEVELS.includes(wanted)) return false
      const before = this.#lowestLevel()
      member.level = wanted
      const lowest = this.#lowestLevel()
      const forward = lowest === wanted && lowest !== before
      if (!forward) answerEmpty(call)
      return !forward
    }
    const uri = call.method.startsWith('resources/') ? paramOf(call, 'uri') : undefined
    if (uri === undefined) return false
    if (call.method === 'resources/subscribe') {
      const known = this.#subscribers(uri) > 0
      member.subscriptions.add(uri)
      if (known) answerEmpty(call)
      return known
    }
    if (call.method !== 'resources/unsubscribe') return false
    member.subscriptions.delete(uri)
    const stillWanted = this.#subscribers(uri) > 0
    if (stillWanted) answerEmpty(call)
    return stillWanted
  }

  #unsubscribe(member: SharedStdioTransport, uri: string): void {
    member.subscriptions.delete(uri)
    if (this.#subscribers(uri) > 0 || this.#child.closed) return
    const { server, context } = this.#options
    this.#channel.send(new InternalCall(server.name, context, 'resources/unsubscribe', { uri }, [], () => {}))
  }

  #subscribers(uri: string): number {
    let count = 0
    for (const member of this.#members) if (member.subscriptions.has(uri)) count++
    return count
  }

  #lowestLevel(): string | undefined {
    const set = [...this.#members].flatMap(({ level }) =>
      level === undefined ? [] : [LOG_LEVELS.indexOf(level)],
    )
    return set.length === 0 ? undefined : LOG_LEVELS[Math.min(...set)]
  }

  #fromServer(message: Buffer, scan: MessageScan, call: Call | undefined): void {
    if (scan.idStart >= 0) {
      this.#asked(message, scan)
      return
    }
    const owner = call === undefined ? undefined : this.#owners.get(call)
    if (owner !== undefined) {
      owner.deliver(message, scan, call)
      return
    }
    const [only] = this.#channel.openCount === 1 ? this.#channel.openCalls : []
    for (const member of this.#audience(message, scan)) {
      const isAboutCall =
        only !== undefined && this.#owners.get(only) === member && !isAboutState(message, scan)
      member.deliver(message, scan, isAboutCall ? only : undefined)
    }
  }

  #asked(message: Buffer, scan: MessageScan): void {
    const id = message.subarray(scan.idStart, scan.idEnd)
    if (message.toString('latin1', scan.methodStart, scan.methodEnd) === '"ping"') {
      this.#child.write(resultMessage(id, '{}'))
      return
    }
    // it was told that there is nobody to ask
    const error = { code: RpcCode.methodNotFound, message: 'no client of this session can be asked' }
    this.#child.write(errorMessage(id, error))
    const [only] = this.#channel.openCount === 1 ? this.#channel.openCalls : []
    if (only !== undefined) this.#owners.get(only)?.refused(message, scan, only)
  }

  /** Who may see a notification that names no call. What one session's call has caused is not shown to another. */
  #audience(message: Buffer, scan: MessageScan): Iterable<SharedStdioTransport> {
    const method = message.toString('latin1', scan.methodStart, scan.methodEnd)
    if (method.includes('list_changed')) return this.#members
    if (method === '"notifications/resources/updated"') {
      const uri: unknown = parseJson(message.subarray(scan.uriStart, scan.uriEnd))
      return typeof uri !== 'string' ? [] : [...this.#members].filter((member) => member.hearsOf(uri))
    }
    const busy = new Set(this.#channel.openCalls.map((call) => this.#owners.get(call)))
    if (busy.size === 0 && this.#members.size === 1) return this.#members
    const [only] = busy
    return busy.size === 1 && only !== undefined ? [only] : []
  }

  #closed(error: SallyportError, crashed: boolean): void {
    if (crashed) this.#options.restarts.crashed(error, this.#child.uptimeMs, this.#channel.hasServed)
    clearInterval(this.#sweep)
    clearTimeout(this.#idleTimer)
    this.#failure ??= error
    this.#options.onClosed()
    this.#channel.fail(error)
    for (const proceed of this.#waiting.splice(0)) proceed()
    for (const member of [...this.#members]) member.closed(error)
  }
}

/** One session's share of a process. */
export class SharedStdioTransport implements LegacyTransport {
  readonly speaksUnasked = true
  readonly #shared: SharedStdio
  readonly #owner: LegacyTransportOwner
  readonly subscriptions = new Set<string>()
  level: string | undefined

  constructor(shared: SharedStdio, owner: LegacyTransportOwner) {
    this.#shared = shared
    this.#owner = owner
  }

  hearsOf(uri: string): boolean {
    for (const wanted of this.subscriptions) if (isWithin(uri, wanted)) return true
    return false
  }

  initialize(call: Call): void {
    this.#shared.initialize(call)
  }

  send(call: Call): void {
    this.#shared.send(this, call)
  }

  cancel(call: Call, reason: string | undefined): void {
    this.#shared.cancel(call, reason)
  }

  notify(message: Buffer): void {
    const method = methodOf(message)
    // the handshake is the gateway's own, and there are no roots whose list could change
    if (method !== 'notifications/initialized' && method !== 'notifications/roots/list_changed') {
      this.#shared.notify(message)
    }
  }

  respond(): void {}

  listen(): void {}

  close(): void {
    this.#shared.leave(this)
  }

  deliver(message: Buffer, scan: MessageScan, call: Call | undefined): void {
    if (this.level !== undefined && isBelow(message, scan, this.level)) return
    this.#owner.fromServer(message, scan, call)
  }

  refused(message: Buffer, scan: MessageScan, call: Call): void {
    this.#owner.refused(message, scan, call)
  }

  closed(error: SallyportError): void {
    this.#owner.closed(error)
  }
}

function isBelow(message: Buffer, scan: MessageScan, level: string): boolean {
  if (message.toString('latin1', scan.methodStart, scan.methodEnd) !== '"notifications/message"') return false
  const params = parseJson(message.subarray(scan.paramsStart, scan.paramsEnd))
  const actual = isRecord(params) ? params['level'] : undefined
  return typeof actual === 'string' && LOG_LEVELS.indexOf(actual) < LOG_LEVELS.indexOf(level)
}

/** Lists and resources change for everybody, whatever call is open. */
function isAboutState(message: Buffer, scan: MessageScan): boolean {
  const method = message.toString('latin1', scan.methodStart, scan.methodEnd)
  return method.includes('list_changed') || method === '"notifications/resources/updated"'
}

function methodOf(message: Buffer): string {
  const value = parseJson(message)
  return isRecord(value) ? String(value['method']) : ''
}

function paramOf(call: Call, name: string): string | undefined {
  const params = parseJson(call.bytes.subarray(call.scan.paramsStart, call.scan.paramsEnd))
  const value = isRecord(params) ? params[name] : undefined
  return typeof value === 'string' ? value : undefined
}

function answerEmpty(call: Call): void {
  const response = resultMessage(call.idText, '{}')
  call.final(response, scanOf(response), 200)
}

function scanOf(message: Buffer): MessageScan {
  const scan = scanMessage(message.toString('latin1'))
  if (scan === undefined) throw new TypeError('a message of the gateway itself cannot be scanned')
  return scan
}

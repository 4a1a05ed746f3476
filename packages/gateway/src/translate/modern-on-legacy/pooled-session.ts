import type { RequestContext } from '@sallyport/core'
import type { Call } from '../../call/call.ts'
import { InternalCall } from '../../call/internal-call.ts'
import { LegacyPeer, type PeerHost } from '../../legacy/legacy-peer.ts'
import type { ModernNotice, QuestionGate } from '../../upstream/modern-link.ts'
import type { Upstream } from '../../upstream/upstream.ts'
import { isRecord, parseJson } from '../../wire/client-message.ts'
import { resultMessage } from '../../wire/json-rpc.ts'
import { LATEST_LEGACY, LOG_LEVELS, RpcCode } from '../../wire/protocol.ts'
import { type MessageScan, scanMessage } from '../../wire/scan-message.ts'
import { splice } from '../../wire/splice.ts'
import { errorResponse } from './modern-response.ts'
import { type Question, readQuestion } from './questions.ts'
import { TranslatedCall } from './translated-call.ts'

export interface PooledSessionOptions {
  readonly key: string
  readonly owner: string
  readonly context: RequestContext
  readonly initializeParams: Readonly<Record<string, unknown>>
  /** The client declared that it can be asked something. */
  readonly answersQuestions: boolean
  /** The transport does not say which call a question belongs to, so one that may be asked about is alone. */
  readonly oneAtATime: boolean
  /** The server declared that it logs. */
  readonly logs: boolean
  readonly now: () => number
  readonly notice: ModernNotice
  readonly mayAsk: QuestionGate
  /** No call is open any more. */
  readonly onIdle: (session: PooledSession) => void
}

/** Notifications that the modern era does not have, or has on subscriptions only. */
const NOT_FOR_CALLS =
  /^notifications\/(?:initialized|elicitation\/complete|tasks\/status|resources\/updated|roots\/list_changed|(?:tools|prompts|resources)\/list_changed)$/

const ROOTS = 'roots/list'
const MAX_UNASKED = 10

/** One session with a server of the legacy era, used by calls of one caller whose requests all declare the same. */
export class PooledSession implements PeerHost {
  readonly key: string
  readonly owner: string
  /** Of the newest request: what belongs to no call carries its credentials. */
  context: RequestContext
  readonly initializeParams: Readonly<Record<string, unknown>>
  readonly answersQuestions: boolean
  readonly protocolVersion = LATEST_LEGACY
  readonly oneAtATime: boolean
  /** Milliseconds since the epoch. */
  usedAt: number
  readonly #options: PooledSessionOptions
  readonly #peer: LegacyPeer
  readonly #calls = new Set<TranslatedCall>()
  /** Open calls that the server may ask something about. */
  #askable = 0
  /** A call was given up that the server may still work on and ask about: nobody else is to hear that. */
  #spent = false
  #level: string | undefined
  /** Questions that belong to no call, and have not been put to the client. */
  readonly #unasked: Question[] = []
  #closed = false

  constructor(upstream: Upstream, options: PooledSessionOptions) {
    this.#options = options
    this.key = options.key
    this.owner = options.owner
    this.context = options.context
    this.initializeParams = options.initializeParams
    this.answersQuestions = options.answersQuestions
    this.oneAtATime = options.oneAtATime
    this.usedAt = options.now()
    this.#peer = new LegacyPeer(upstream, this)
    // a server may ask on the stream that belongs to no call, and one that was told not to has to hear that there is no answer
    this.#peer.listen()
  }

  get isIdle(): boolean {
    return this.#calls.size === 0
  }

  get isSpent(): boolean {
    return this.#spent
  }

  takes(askable: boolean): boolean {
    return !this.#closed && !this.#spent && !(askable && this.oneAtATime && this.#askable > 0)
  }

  send(call: TranslatedCall): void {
    this.#calls.add(call)
    this.context = call.context
    if (call.isAskable) this.#askable++
    this.usedAt = this.#options.now()
    if (call.isAskable && this.#unasked.length > 0) call.askFirst(this.#unasked.splice(0))
    else this.proceed(call)
  }

  /** Sends it to the server. */
  proceed(call: TranslatedCall): void {
    const level = call.logLevel === undefined ? undefined : this.#neededLevel()
    if (level === undefined) this.#peer.send(call)
    else
      this.#setLevel(level, () => {
        if (!call.over) this.#peer.send(call)
      })
  }

  /** A call that comes back may want other log messages than before. */
  wantsLogs(call: TranslatedCall): void {
    const level = call.logLevel === undefined ? undefined : this.#neededLevel()
    if (level !== undefined) this.#setLevel(level, () => {})
  }

  cancel(call: TranslatedCall, reason: string | undefined): void {
    this.#peer.cancel(call, reason)
  }

  /** A client's answer to a question of the server. */
  answer(message: Buffer): void {
    this.#peer.respond(message)
  }

  /** @param open questions of the server that came while the call was open, and have no answer */
  ended(call: TranslatedCall, givenUp: boolean, open: readonly Question[]): void {
    if (!this.#calls.delete(call)) return
    for (const question of open) if (question.method === ROOTS) this.#hold(question)
    if (call.isAskable) this.#askable--
    this.#spent ||= givenUp && this.oneAtATime && call.isAskable
    this.usedAt = this.#options.now()
    if (this.#calls.size === 0) this.#options.onIdle(this)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#peer.close()
  }

  fromServer(_peer: LegacyPeer, message: Buffer, scan: MessageScan, call: Call | undefined): void {
    const method = methodOf(message, scan)
    const own = call instanceof TranslatedCall ? call : undefined
    if (scan.idStart >= 0) this.#asked(method, message, scan, own)
    else if (method === 'notifications/progress') this.#progress(message, scan, own)
    else if (method === 'notifications/message') this.#logged(message, scan, own)
    else if (method === 'notifications/cancelled') this.#withdrawn(message, scan)
    else if (own !== undefined && !NOT_FOR_CALLS.test(method)) this.#tell(own, message, scan)
  }

  upstreamSession(): void {}

  lost(): void {
    this.#unasked.length = 0
  }

  opened(): void {
    this.#unasked.length = 0
    // a session that is open again knows of no level
    const had = this.#level
    this.#level = undefined
    const level = had === undefined ? undefined : this.#neededLevel()
    if (level !== undefined) this.#setLevel(level, () => {})
  }

  refused(_peer: LegacyPeer, message: Buffer, scan: MessageScan, call: Call | undefined): void {
    if (call instanceof TranslatedCall) call.refused(methodOf(message, scan), message, scan)
  }

  #asked(method: string, message: Buffer, scan: MessageScan, call: TranslatedCall | undefined): void {
    const id = message.subarray(scan.idStart, scan.idEnd)
    const about = call ?? this.#onlyAskable()
    if (method === 'ping') this.#peer.respond(resultMessage(id, '{}'))
    else if (about !== undefined && !about.over) this.#put(method, message, scan, about)
    else if (method === ROOTS && this.#declares('roots')) this.#put(method, message, scan, undefined)
    else this.#turnBack(id, 'there is no call that this question belongs to')
  }

  /** A question that policy does not allow is answered as by a client that cannot be asked, and the call goes on. */
  #put(method: string, message: Buffer, scan: MessageScan, about: TranslatedCall | undefined): void {
    const decide = (allowed: boolean) => {
      if (allowed && about !== undefined) about.ask(method, message, scan)
      else if (allowed) this.#hold(readQuestion(method, message, scan))
      else this.#turnBack(message.subarray(scan.idStart, scan.idEnd), 'the client does not do this')
    }
    const allowed = this.#options.mayAsk(message, scan, about?.context ?? this.context)
    if (allowed instanceof Promise) void allowed.then(decide)
    else decide(allowed)
  }

  #turnBack(id: Buffer, message: string): void {
    this.#peer.respond(errorResponse(id, { code: RpcCode.methodNotFound, message }).bytes)
  }

  /**
   * Servers ask for roots when a session begins, whatever call is open then. That question waits for a call that it can be
   * put with.
   */
  #hold(question: Question): void {
    if (this.#unasked.length < MAX_UNASKED) this.#unasked.push({ ...question, shown: false })
  }

  #declares(capability: string): boolean {
    const { capabilities } = this.initializeParams
    return isRecord(capabilities) && capability in capabilities
  }

  /** The call that a question must belong to because there is no other. */
  #onlyAskable(): TranslatedCall | undefined {
    if (this.#askable !== 1) return undefined
    for (const call of this.#calls) if (call.isAskable) return call
    return undefined
  }

  #progress(message: Buffer, scan: MessageScan, call: TranslatedCall | undefined): void {
    const token = message.subarray(scan.progressStart, scan.progressEnd)
    const about = call ?? [...this.#calls].find(({ idText }) => token.equals(idText))
    const client = about?.client
    if (client === undefined || client.scan.tokenStart < 0) return
    const { bytes, scan: asked } = client
    const restored = bytes.subarray(asked.tokenStart, asked.tokenEnd)
    this.#notice(client, splice(message, [scan.progressStart, scan.progressEnd, restored]))
  }

  /** Log messages are for the requests that asked for some, and for those of that level (2026-07-28 server/utilities/logging). */
  #logged(message: Buffer, scan: MessageScan, call: TranslatedCall | undefined): void {
    const about = call ?? this.#onlyLogging()
    const wanted = about?.logLevel
    if (about === undefined || wanted === undefined) return
    const params = parseJson(message.subarray(scan.paramsStart, scan.paramsEnd))
    const level = isRecord(params) ? LOG_LEVELS.indexOf(String(params['level'])) : -1
    if (level >= LOG_LEVELS.indexOf(wanted)) this.#tell(about, message, scan)
  }

  #onlyLogging(): TranslatedCall | undefined {
    const wanting = [...this.#calls].filter(({ logLevel }) => logLevel !== undefined)
    return wanting.length === 1 ? wanting[0] : undefined
  }

  #withdrawn(message: Buffer, scan: MessageScan): void {
    const id = message.subarray(scan.requestIdStart, scan.requestIdEnd)
    for (const call of this.#calls) if (call.withdraw(id)) return
    const held = this.#unasked.findIndex((question) => question.id.equals(id))
    if (held >= 0) this.#unasked.splice(held, 1)
  }

  #tell({ client }: TranslatedCall, message: Buffer, scan: MessageScan): void {
    if (client !== undefined) this.#options.notice(message, scan, client)
  }

  #notice(client: Call, message: Buffer): void {
    const scan = scanMessage(message.toString('latin1'))
    if (scan !== undefined) this.#options.notice(message, scan, client)
  }

  /** The level that the server has to be told, if it is not the one it knows: the most talkative of those that are wanted. */
  #neededLevel(): string | undefined {
    if (!this.#options.logs) return undefined
    let least = LOG_LEVELS.length
    for (const { logLevel } of this.#calls)
      if (logLevel !== undefined) least = Math.min(least, LOG_LEVELS.indexOf(logLevel))
    const level = LOG_LEVELS[least]
    return level === this.#level ? undefined : level
  }

  #setLevel(level: string, proceed: () => void): void {
    this.#level = level
    const { name } = this.#peer
    this.#peer.send(new InternalCall(name, this.context, 'logging/setLevel', { level }, [], proceed))
  }
}

function methodOf(message: Buffer, scan: MessageScan): string {
  return String(parseJson(message.subarray(scan.methodStart, scan.methodEnd)))
}

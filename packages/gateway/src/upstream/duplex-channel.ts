import { ShortLivedMap } from '../short-lived-map.ts'
import { type SallyportError, UpstreamError } from '@sallyport/core'
import type { Call } from '../call/call.ts'
import { notificationMessage } from '../wire/json-rpc.ts'
import { type MessageScan, scanArray, scanMessage } from '../wire/scan-message.ts'
import { type Edit, splice } from '../wire/splice.ts'
import { isUtf8 } from 'node:buffer'
import { traceInMeta } from './trace-in-meta.ts'

export interface DuplexChannelOptions {
  readonly server: string
  /** Takes one message; framing is the transport's business. */
  readonly write: (message: Buffer) => void
  /** Notifications and requests of the server; `call` where progress token or subscription id names one. */
  readonly fromServer: (message: Buffer, scan: MessageScan, call: Call | undefined) => void
  /** Something that is not a message, shortened; for the log. */
  readonly garbage: (text: string) => void
  readonly timeoutMs: number
  readonly now: () => number
  /** Nothing but timeouts came of the last calls: whoever is at the other end does not answer any more. */
  readonly stuck?: { readonly afterTimeouts: number; readonly tell: () => void }
  /** HTTP status that a response has where the front is HTTP (default 200). */
  readonly status?: (response: Buffer, scan: MessageScan) => number
}

interface OpenCall {
  readonly call: Call
  readonly token: Buffer | undefined
  readonly sentAt: number
  deadline: number
}

/**
 * Many calls over one stream of messages (stdio, HTTP+SSE). Callers' ids and progress tokens may collide, so each
 * call goes out under a number of this channel's own, which is its progress token and subscription id as well.
 */
export class DuplexChannel {
  readonly #options: DuplexChannelOptions
  readonly #calls = new ShortLivedMap<number, OpenCall>()
  readonly #numbers = new ShortLivedMap<Call, number>()
  #next = 1
  #hasServed = false
  /** Calls in a row that got no answer in time. */
  #timeouts = 0
  #answeredAt = Number.NEGATIVE_INFINITY

  constructor(options: DuplexChannelOptions) {
    this.#options = options
  }

  get openCalls(): readonly Call[] {
    return this.#numbers.keys()
  }

  /** Calls that were ever sent. */
  get sentCount(): number {
    return this.#next - 1
  }

  get openCount(): number {
    return this.#calls.size
  }

  /** Something was answered beside the questions with which every connection begins. */
  get hasServed(): boolean {
    return this.#hasServed
  }

  send(call: Call, timeoutMs = this.#options.timeoutMs): void {
    const number = this.#next++
    const { bytes, scan, given } = settledEdits(call)
    const edits: Edit[] = [...given, [scan.idStart, scan.idEnd, String(number)]]
    let token: Buffer | undefined
    if (scan.tokenStart >= 0) {
      token = bytes.subarray(scan.tokenStart, scan.tokenEnd)
      edits.push([scan.tokenStart, scan.tokenEnd, String(number)])
    }
    const sentAt = this.#options.now()
    const deadline = timeoutMs === 0 ? Number.POSITIVE_INFINITY : sentAt + timeoutMs
    this.#calls.set(number, { call, token, sentAt, deadline })
    this.#numbers.set(call, number)
    const { trace } = call.context
    const traceEdit = trace === undefined ? undefined : traceInMeta(trace, bytes, scan)
    // whoever observes the call may have put a trace context of its own there
    if (traceEdit !== undefined && given.every(([start]) => start !== traceEdit[0])) edits.push(traceEdit)
    this.#options.write(splice(bytes, ...edits))
  }

  /** The call is over for its caller; the server is told. */
  cancel(call: Call, reason: string | undefined): void {
    const requestId = this.#forget(call)
    // "initialize" is never cancelled (2025-11-25 basic/utilities/cancellation)
    if (requestId === undefined || call.method === 'initialize') return
    const params = { requestId, ...(reason !== undefined && { reason }) }
    this.#options.write(notificationMessage('notifications/cancelled', params))
  }

  receive(message: Buffer): void {
    const text = message.toString('latin1')
    const scan = isUtf8(message) && isJson(message) ? scanMessage(text) : undefined
    if (scan !== undefined) this.#route(message, scan)
    else {
      const elements = text.startsWith('[') && isJson(message) ? scanArray(text) : undefined
      if (elements === undefined) this.#options.garbage(text.slice(0, 200))
      else for (const [start, end] of elements) this.#element(message.subarray(start, end))
    }
  }

  /** What stands inside a list inside a list is no message. */
  #element(message: Buffer): void {
    const scan = scanMessage(message.toString('latin1'))
    if (scan !== undefined) this.#route(message, scan)
    else this.#options.garbage(message.toString('latin1', 0, 200))
  }

  /** Ends the calls whose time is over; called now and then. */
  sweep(): void {
    const now = this.#options.now()
    for (const { call, sentAt, deadline } of this.#calls.values()) {
      if (deadline > now) continue
      this.cancel(call, 'timeout')
      // who has answered somebody meanwhile is not stuck
      if (this.#answeredAt < sentAt) this.#timeouts++
      call.fail(new UpstreamError('ERR_UPSTREAM_TIMEOUT', this.#options.server, 'did not answer in time'))
    }
    const { stuck } = this.#options
    if (stuck !== undefined && this.#timeouts >= stuck.afterTimeouts) stuck.tell()
  }

  /** The stream is gone. */
  fail(error: SallyportError): void {
    const calls = this.#numbers.keys()
    this.#numbers.clear()
    this.#calls.clear()
    for (const call of calls) call.fail(error)
  }

  #route(message: Buffer, scan: MessageScan): void {
    if (scan.methodStart < 0) this.#response(message, scan)
    else if (scan.progressStart >= 0 && scan.idStart < 0) this.#progress(message, scan)
    else if (scan.subscriptionStart >= 0 && scan.idStart < 0) {
      const open = this.#find(message, scan.subscriptionStart, scan.subscriptionEnd)
      if (open === undefined) return
      const restored = splice(message, [scan.subscriptionStart, scan.subscriptionEnd, open.call.idText])
      this.#options.fromServer(restored, rescan(restored, scan), open.call)
    } else this.#options.fromServer(message, scan, undefined)
  }

  #response(message: Buffer, scan: MessageScan): void {
    const open = this.#find(message, scan.idStart, scan.idEnd)
    // late answers to calls that were cancelled or timed out end here
    if (open === undefined) return
    this.#isAlive()
    const { method } = open.call
    if (method !== 'initialize' && method !== 'server/discover') this.#hasServed = true
    this.#forget(open.call)
    const edits: Edit[] = [[scan.idStart, scan.idEnd, open.call.idText]]
    if (scan.subscriptionStart >= 0)
      edits.push([scan.subscriptionStart, scan.subscriptionEnd, open.call.idText])
    open.call.final(splice(message, ...edits), scan, this.#options.status?.(message, scan) ?? 200)
  }

  #progress(message: Buffer, scan: MessageScan): void {
    const open = this.#find(message, scan.progressStart, scan.progressEnd)
    if (open?.token === undefined) return
    this.#isAlive()
    if (open.deadline !== Number.POSITIVE_INFINITY)
      open.deadline = this.#options.now() + this.#options.timeoutMs
    const restored = splice(message, [scan.progressStart, scan.progressEnd, open.token])
    this.#options.fromServer(restored, rescan(restored, scan), open.call)
  }

  #isAlive(): void {
    this.#timeouts = 0
    this.#answeredAt = this.#options.now()
  }

  #find(message: Buffer, start: number, end: number): OpenCall | undefined {
    return start < 0 ? undefined : this.#calls.get(Number(message.toString('latin1', start, end)))
  }

  #forget(call: Call): number | undefined {
    const number = this.#numbers.get(call)
    if (number === undefined) return undefined
    this.#numbers.delete(call)
    this.#calls.delete(number)
    return number
  }
}

/** Where all parameters are replaced, nothing inside of them can be edited: that is done first then. */
function settledEdits(call: Call): { bytes: Buffer; scan: MessageScan; given: readonly Edit[] } {
  const { bytes, scan, edits } = call
  if (!edits.some(([start, end]) => start === scan.paramsStart && end === scan.paramsEnd))
    return { bytes, scan, given: edits }
  const edited = splice(bytes, ...edits)
  return { bytes: edited, scan: rescan(edited, scan), given: [] }
}

function isJson(message: Buffer): boolean {
  try {
    JSON.parse(message.toString())
    return true
  } catch {
    return false
  }
}

function rescan(message: Buffer, fallback: MessageScan): MessageScan {
  return scanMessage(message.toString('latin1')) ?? fallback
}

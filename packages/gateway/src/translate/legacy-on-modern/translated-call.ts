import { type Principal, type RequestContext, type SallyportError, UpstreamError } from '@sallyport/core'
import type { Call } from '../../call/call.ts'
import type { ModernLink } from '../../upstream/modern-link.ts'
import { isRecord, parseJson } from '../../wire/client-message.ts'
import { errorMessage, notificationMessage, resultMessage } from '../../wire/json-rpc.ts'
import { MAX_WRITTEN_DEPTH } from '../../wire/nesting.ts'
import { paramHeadersFor } from '../../wire/param-headers.ts'
import { isModernErrorCode, RpcCode } from '../../wire/protocol.ts'
import { type MessageScan, scanMessage } from '../../wire/scan-message.ts'
import type { RpcError } from '../../call/internal-call.ts'
import { InputRound, type QuestionDesk, type RoundFailure, type RoundOwner } from './input-round.ts'
import { legacyError } from './legacy-error.ts'
import {
  legacyResult,
  type ModernResponse,
  readResult,
  resultTypeOf,
  type ToolVisitor,
} from './legacy-result.ts'
import { modernRequest, type ModernRequest, nameHeader, scanned } from './modern-request.ts'
import { type Question, readQuestion } from './question.ts'
import type { ToolFacts } from './tool-memory.ts'

/** The session of a legacy client with a server of the modern era, as its calls see it. */
export interface CallHost extends QuestionDesk {
  readonly server: string
  readonly isHttp: boolean
  /** Members of `_meta` for the next request, as JSON text. */
  readonly envelope: string
  /** Of the newest request of the session. */
  readonly modernContext: RequestContext
  readonly capabilities: Readonly<Record<string, unknown>>
  readonly protocolVersion: string
  readonly inputRoundMs: number
  link(): ModernLink
  /** The notification is of a level that the client asked for. */
  wantsLog(message: Buffer, scan: MessageScan): boolean
  toolFacts(name: string): ToolFacts | undefined
  /** Asks the server for its tools; resolves whatever the outcome. */
  refreshTools(name: string): Promise<void>
  visitTool: ToolVisitor
  /** The server answered like one of another era; resolves to true if it is, and `call` was given up for a new session. */
  movedAway(call: Call): Promise<boolean>
  settled(call: TranslatedCall): void
}

/** How often a server may answer one call with questions. */
const MAX_ROUNDS = 8
/** Questions of one round, and the bytes of the result that holds them: each becomes a request to the client. */
const MAX_QUESTIONS = 100
const MAX_ROUND_BYTES = 4 * 1024 * 1024
/** A server that only asks to be asked again is given this long. */
const PACE_MS = 250
/** 2026-07-28 basic/patterns/mrtr, "Supported Requests". */
const MAY_ASK: ReadonlySet<string> = new Set(['tools/call', 'prompts/get', 'resources/read'])

let counter = 0

/** A call of a legacy client to a server of the modern era, over as many requests as the server needs for it. */
export class TranslatedCall implements RoundOwner {
  readonly original: Call
  readonly #host: CallHost
  #attempt: Attempt | undefined
  #round: InputRound | undefined
  #rounds = 0
  /** Members that repeat the last round, for the next request. */
  #echo = ''
  #requestState: string | undefined
  #refreshed = false
  #done = false
  #pace: NodeJS.Timeout | undefined
  readonly #elicited: string[] = []
  /** As the caller last proved to be: with the call, or with the answers to a round. */
  #principal: Principal
  /** The tool that is called, under the server's own name. */
  #tool: string | undefined

  constructor(original: Call, host: CallHost) {
    this.original = original
    this.#host = host
    this.#principal = original.context.principal
  }

  start(): void {
    const request = this.#request()
    this.#tool = this.original.method === 'tools/call' ? nameOf(request) : undefined
    const tool = this.#host.isHttp ? this.#tool : undefined
    if (tool === undefined || this.#host.toolFacts(tool) !== undefined) this.#send(request)
    else void this.#host.refreshTools(tool).then(() => this.#again())
  }

  cancel(reason: string | undefined): void {
    if (!this.#settle()) return
    this.#attempt?.cancel(reason)
    this.#round?.withdraw(reason)
  }

  /** The session is over, or the server is another one now. */
  end(error: SallyportError): void {
    if (this.#done) return
    this.cancel('the session ended')
    this.original.fail(error)
  }

  interim(attempt: Attempt, message: Buffer, scan: MessageScan): void {
    if (this.#done || attempt !== this.#attempt) return
    const isLog = message.toString('latin1', scan.methodStart, scan.methodEnd) === '"notifications/message"'
    if (!isLog || this.#host.wantsLog(message, scan)) this.original.interim(message, scan)
  }

  failed(attempt: Attempt, error: SallyportError): void {
    if (attempt === this.#attempt && this.#settle()) this.original.fail(error)
  }

  received(attempt: Attempt, bytes: Buffer, status: number): void {
    if (this.#done || attempt !== this.#attempt) return
    this.#attempt = undefined
    const text = bytes.toString('latin1')
    // what the links found refers to the bytes before the id was put back
    const scan = scanMessage(text)
    if (scan !== undefined && scan.errorStart >= 0) {
      if (scan.depth > MAX_WRITTEN_DEPTH) this.#broken('answered with an error that is nested too deep')
      else this.#refused(bytes, scan, status)
      return
    }
    const response = scan === undefined ? undefined : readResult(bytes, text, scan)
    if (response === undefined) {
      this.#broken('answered without a result')
      return
    }
    const type = resultTypeOf(response)
    const isRewritten = type !== 'complete' || this.original.method === 'tools/list'
    if (isRewritten && response.scan.depth > MAX_WRITTEN_DEPTH) {
      this.#broken('answered with a result that is nested too deep')
    } else if (type === 'complete') this.#complete(response)
    else if (type === 'input_required') this.#ask(response)
    else this.#broken(`answered with a result of type ${JSON.stringify(type)}, which no legacy client knows`)
  }

  answered(responses: string): void {
    this.#elicited.push(...(this.#round?.elicited ?? []))
    this.#round = undefined
    this.#principal = this.#host.modernContext.principal
    this.#echo = [`"inputResponses":${responses}`, this.#stateText()].filter((it) => it !== '').join(',')
    this.#again()
  }

  unanswered({ code, message }: RoundFailure): void {
    this.#round = undefined
    this.#giveUp(code ?? RpcCode.internalError, message)
  }

  get #facts(): ToolFacts | undefined {
    return this.#tool === undefined ? undefined : this.#host.toolFacts(this.#tool)
  }

  #request(): ModernRequest {
    return modernRequest(this.original, `"sallyport-call-${++counter}"`, this.#host.envelope, this.#echo)
  }

  #again(): void {
    if (!this.#done) this.#send(this.#request())
  }

  #send(request: ModernRequest): void {
    const { original } = this
    const link = this.#host.link()
    const annotations = this.#host.isHttp ? this.#facts?.headers : undefined
    const headers = [...original.headers, ...nameHeader(original, request)]
    if (annotations !== undefined && annotations.length > 0)
      headers.push(...paramHeadersFor(annotations, argumentsOf(request)))
    const context = { ...this.#host.modernContext, principal: this.#principal, trace: original.context.trace }
    this.#attempt = new Attempt(this, link, request, context, headers)
    link.send(this.#attempt)
  }

  #complete(response: ModernResponse): void {
    const { original } = this
    const visit = original.method === 'tools/list' ? this.#host.visitTool : undefined
    const shown = legacyResult(response, original.idText, this.#facts?.wraps === true, visit)
    if (!this.#settle()) return
    for (const elicitationId of this.#elicited)
      this.#host.tell(notificationMessage('notifications/elicitation/complete', { elicitationId }), original)
    original.final(shown, response.scan, 200)
  }

  #refused(bytes: Buffer, scan: MessageScan, status: number): void {
    const error = rpcError(bytes.subarray(scan.errorStart, scan.errorEnd))
    const { original } = this
    if (error.code === RpcCode.headerMismatch && this.#tool !== undefined && !this.#refreshed) {
      // the tool may have been annotated since it was listed (streamable-http, "Client Behavior")
      this.#refreshed = true
      void this.#host.refreshTools(this.#tool).then(() => this.#again())
      return
    }
    if (status === 200 || !isForeign(error.code)) {
      this.#answerError(error)
      return
    }
    void this.#host.movedAway(original).then((moved) => {
      if (!moved) this.#answerError(error)
      else this.#settle()
    })
  }

  #ask(response: ModernResponse): void {
    const { original } = this
    const { bytes, scan } = response
    if (!MAY_ASK.has(original.method)) {
      this.#broken(`asked for input in its answer to ${original.method}`)
      return
    }
    if (++this.#rounds > MAX_ROUNDS) {
      this.#broken(`asked for input more than ${MAX_ROUNDS} times`)
      return
    }
    if (scan.resultEnd - scan.resultStart > MAX_ROUND_BYTES) {
      this.#broken(`asked for input in more than ${MAX_ROUND_BYTES} bytes`)
      return
    }
    const result = parseJson(bytes.subarray(scan.resultStart, scan.resultEnd))
    const { inputRequests, requestState } = isRecord(result) ? result : {}
    this.#requestState = typeof requestState === 'string' ? requestState : undefined
    const asked = isRecord(inputRequests) ? Object.entries(inputRequests) : []
    if (asked.length > MAX_QUESTIONS) this.#broken(`asked for more than ${MAX_QUESTIONS} things at once`)
    else if (asked.length > 0) this.#put(asked)
    else if (this.#requestState === undefined) this.#broken('asked for input and did not say which')
    else {
      this.#echo = this.#stateText()
      this.#pace = setTimeout(() => this.#again(), PACE_MS)
    }
  }

  #put(asked: readonly [string, unknown][]): void {
    const { capabilities, protocolVersion, inputRoundMs } = this.#host
    const questions: Question[] = []
    for (const [key, value] of asked) {
      const question = readQuestion(key, value, capabilities, protocolVersion)
      if ('broken' in question) {
        this.#broken(question.broken)
        return
      }
      if ('undeclared' in question) {
        const { undeclared } = question
        this.#giveUp(RpcCode.invalidRequest, `the server needs the client capability "${undeclared}"`)
        return
      }
      questions.push(question)
    }
    this.#round = new InputRound(questions, this.original, this.#host, this, inputRoundMs)
  }

  /**
   * The call cannot go on for the client's sake. A model reads what a tool answers, and not errors of the protocol, so for a
   * tool it is a result, as servers of the legacy era give it (2025-11-25 server/tools, "Error Handling").
   */
  #giveUp(code: number, message: string): void {
    if (this.original.method !== 'tools/call') {
      this.#answerError({ code, message })
      return
    }
    const result = { content: [{ type: 'text', text: message }], isError: true }
    if (this.#settle()) this.#final(resultMessage(this.original.idText, JSON.stringify(result)))
  }

  #answerError(error: RpcError): void {
    if (this.#settle())
      this.#final(errorMessage(this.original.idText, legacyError(this.original.method, error)))
  }

  #final(response: Buffer): void {
    this.original.final(response, scanned(response), 200)
  }

  #broken(message: string): void {
    if (this.#settle())
      this.original.fail(new UpstreamError('ERR_UPSTREAM_PROTOCOL', this.#host.server, message))
  }

  #stateText(): string {
    return this.#requestState === undefined ? '' : `"requestState":${JSON.stringify(this.#requestState)}`
  }

  #settle(): boolean {
    if (this.#done) return false
    this.#done = true
    clearTimeout(this.#pace)
    this.#host.settled(this)
    return true
  }
}

/** One request to the server. A call that has several is several calls for the link, each under an id of its own. */
class Attempt implements Call {
  readonly context: RequestContext
  readonly method: string
  readonly bytes: Buffer
  readonly scan: MessageScan
  readonly edits = []
  readonly idText: Uint8Array
  readonly headers: readonly string[]
  readonly #call: TranslatedCall
  readonly #link: ModernLink

  constructor(
    call: TranslatedCall,
    link: ModernLink,
    { bytes, scan }: ModernRequest,
    context: RequestContext,
    headers: readonly string[],
  ) {
    this.#call = call
    this.#link = link
    this.context = context
    this.method = call.original.method
    this.bytes = bytes
    this.scan = scan
    this.idText = bytes.subarray(scan.idStart, scan.idEnd)
    this.headers = headers
  }

  cancel(reason: string | undefined): void {
    this.#link.cancel(this, reason)
  }

  interim(message: Buffer, scan: MessageScan): void {
    this.#call.interim(this, message, scan)
  }

  final(response: Buffer, _scan: MessageScan, status: number): void {
    this.#call.received(this, response, status)
  }

  fail(error: SallyportError): void {
    this.#call.failed(this, error)
  }

  pause(): void {}
}

function nameOf({ bytes, scan }: ModernRequest): string | undefined {
  const name = scan.nameStart < 0 ? undefined : parseJson(bytes.subarray(scan.nameStart, scan.nameEnd))
  return typeof name === 'string' ? name : undefined
}

function argumentsOf({ bytes, scan }: ModernRequest): unknown {
  const params = parseJson(bytes.subarray(scan.paramsStart, scan.paramsEnd))
  return isRecord(params) ? params['arguments'] : undefined
}

function rpcError(bytes: Buffer): RpcError {
  const error = parseJson(bytes)
  const { code, message, data } = isRecord(error) ? error : {}
  return {
    code: typeof code === 'number' ? code : RpcCode.internalError,
    message: typeof message === 'string' ? message : '',
    ...(data !== undefined && { data }),
  }
}

/** A code that says nothing about the era, with an HTTP status that does: a server of the legacy era refuses like that. */
function isForeign(code: number): boolean {
  if (code === RpcCode.unsupportedProtocolVersion) return true
  return !isModernErrorCode(code) && code !== RpcCode.invalidParams
}

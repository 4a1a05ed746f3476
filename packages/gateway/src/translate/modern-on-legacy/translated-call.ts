import {
  GatewayError,
  principalKey,
  type RequestContext,
  type SallyportError,
  UpstreamError,
} from '@sallyport/core'
import type { Call } from '../../call/call.ts'
import { isRecord } from '../../wire/client-message.ts'
import { resultMessage } from '../../wire/json-rpc.ts'
import { modernStatus } from '../../wire/modern-status.ts'
import { RpcCode } from '../../wire/protocol.ts'
import { type MessageScan, scanMessage } from '../../wire/scan-message.ts'
import { inputRequired } from './input-required.ts'
import { legacyRequest, requestDigest, scanned, stateOwner } from './legacy-request.ts'
import { missingCapability, wordsOf } from './missing-capability.ts'
import { errorResponse, modernError, modernResult, readError } from './modern-response.ts'
import { OpenQuestions } from './open-questions.ts'
import type { Binding, Parked, ParkedCalls } from './parked-calls.ts'
import type { PooledSession } from './pooled-session.ts'
import { type Question, readQuestion, type Refusal, refusalOf } from './questions.ts'
import type { RequestEnvelope } from './request-envelope.ts'
import { urlElicitations } from './url-elicitation.ts'

type Members = Readonly<Record<string, unknown>>

/** What all calls to one server have in common. */
export interface CallHost {
  readonly server: string
  readonly parking: ParkedCalls<TranslatedCall>
  readonly serverInfo: Members | undefined
  /** The client has its answer, or has to come back for it. */
  detached(client: Call): void
  /** The client is about to be shown questions of a call that waits for it. */
  parked(client: Call, call: TranslatedCall): void
}

interface Outcome {
  readonly response: Buffer
  readonly scan: MessageScan
}

/** The requests that may be answered with questions (2026-07-28 basic/patterns/mrtr, "Supported Requests"). */
const ASKABLE: ReadonlySet<string> = new Set(['tools/call', 'prompts/get', 'resources/read'])
/** How long a server's further questions are waited for after one: a round costs the client more than this. */
const SETTLE_MS = 15
const MAX_ID_BYTES = 1_024

export function isAskable(method: string): boolean {
  return ASKABLE.has(method)
}

/**
 * One call to a server of the legacy era on behalf of a client of the modern one. The server has one request from beginning to end;
 * for the client it may be several, because each time that the server asks something, the request under way is answered with the
 * questions, and the next one brings the answers. In between the call is parked: nobody holds a connection for it.
 */
export class TranslatedCall implements Call, Parked {
  /** Of the newest of the client's requests for it. */
  context: RequestContext
  readonly method: string
  readonly bytes: Buffer
  readonly scan: MessageScan
  readonly edits = []
  readonly idText: Uint8Array
  readonly headers: readonly string[]
  readonly session: PooledSession
  readonly #host: CallHost
  /** The request that is open now; none while the call is parked. */
  client: Call | undefined
  envelope: RequestEnvelope
  round = 0
  /** The server has answered, or never will. */
  over = false
  #questions: OpenQuestions | undefined
  /** The server has not got it yet. */
  #unsent = false
  #settling: NodeJS.Timeout | undefined
  #digest: string | undefined
  /** What came of the call while the client was away. */
  #outcome: Outcome | SallyportError | undefined
  /** Questions that could not be put because the client had not declared that it answers such. */
  #undeclared: Members | undefined

  constructor(client: Call, envelope: RequestEnvelope, id: number, session: PooledSession, host: CallHost) {
    const { bytes, scan } = legacyRequest(client, id)
    this.context = client.context
    this.method = client.method
    this.bytes = bytes
    this.scan = scan
    this.idText = bytes.subarray(scan.idStart, scan.idEnd)
    this.headers = withoutModern(client.headers)
    this.client = client
    this.envelope = envelope
    this.session = session
    this.#host = host
  }

  get tenant(): string {
    return this.context.principal.tenant
  }

  get server(): string {
    return this.#host.server
  }

  get owner(): string {
    return principalKey(this.context.principal)
  }

  /** Bytes that are kept while it waits. */
  get bytesKept(): number {
    return this.bytes.length + (this.#questions?.bytes ?? 0)
  }

  get isAskable(): boolean {
    return ASKABLE.has(this.method)
  }

  /** What a state of this call is bound to. */
  get #binding(): Binding {
    this.#digest ??= requestDigest(this.method, this.bytes)
    return { caller: stateOwner(this, this.#host.server), digest: this.#digest }
  }

  /** The least important log messages that the client wants to see now. */
  get logLevel(): string | undefined {
    return this.client === undefined ? undefined : this.envelope.logLevel
  }

  interim(): void {}

  pause(): void {}

  final(response: Buffer, scan: MessageScan): void {
    if (this.over) return
    this.#end()
    // an id of another length has moved what stands behind it
    const isExact = scan.idEnd - scan.idStart === this.idText.length
    const exact = isExact ? scan : (scanMessage(response.toString('latin1')) ?? scan)
    this.#deliver({ response, scan: exact })
  }

  fail(error: SallyportError): void {
    if (this.over) return
    // a server that was too slow may still be at it
    this.#end(error.code === 'ERR_UPSTREAM_TIMEOUT')
    this.#deliver(error)
  }

  /** A question of the server. */
  ask(method: string, message: Buffer, scan: MessageScan): void {
    const id = Buffer.from(message.subarray(scan.idStart, scan.idEnd))
    const refusal = this.#refusal(method, message, scan)
    if (refusal !== undefined) {
      this.#note(refusal)
      this.session.answer(errorResponse(id, { code: refusal.code, message: refusal.message }).bytes)
      return
    }
    this.#questions?.add(readQuestion(method, message, scan))
    this.#showSoon()
  }

  /** Puts questions that belong to no call to the client before the server gets this one: the answers may matter to it. */
  askFirst(questions: readonly Question[]): void {
    this.#unsent = true
    this.#questions ??= new OpenQuestions()
    for (const question of questions) this.#questions.add(question)
    this.#show()
  }

  /** The transport has refused a question of the server already. */
  refused(method: string, message: Buffer, scan: MessageScan): void {
    const refusal = refusalOf(method, message, scan, this.envelope.capabilities)
    if (refusal !== undefined) this.#note(refusal)
  }

  /** The server does not want to know any more; true if it was this call's question. */
  withdraw(id: Buffer): boolean {
    return this.#questions?.withdraw(id) === true
  }

  /** The client is back. `responses` holds its answers as JSON text, by the keys of the questions. */
  resume(client: Call, envelope: RequestEnvelope, responses: ReadonlyMap<string, string>): void {
    this.#host.parking.leave(this)
    this.client = client
    this.context = client.context
    this.session.context = client.context
    this.envelope = envelope
    const left = this.#questions?.take(responses, (id, response) =>
      this.session.answer(resultMessage(id, response)),
    )
    if (left?.unshown === true) this.#showSoon()
    if (this.#outcome !== undefined) this.#deliver(this.#outcome)
    // what is still missing is asked for again (2026-07-28 basic/patterns/mrtr, "Error Handling")
    else if (left?.unanswered === true) this.#show()
    else if (this.#unsent) {
      this.#unsent = false
      this.session.proceed(this)
    } else this.session.wantsLogs(this)
  }

  /** Nobody waits for the answer any more, or knows what was asked. */
  cancel(reason: string | undefined): void {
    this.client = undefined
    this.#outcome = undefined
    this.#host.parking.leave(this)
    if (this.over) return
    this.session.cancel(this, reason)
    // a server may wait for answers whatever becomes of the call
    const error = { code: RpcCode.internalError, message: 'the call was cancelled' }
    for (const { id } of this.#questions?.all() ?? []) this.session.answer(errorResponse(id, error).bytes)
    this.#end(true)
  }

  expire(): void {
    if (this.over) this.#outcome = undefined
    else this.cancel('the client did not come back')
  }

  #refusal(method: string, message: Buffer, scan: MessageScan): Refusal | undefined {
    if (!this.isAskable || this.over)
      return { code: RpcCode.methodNotFound, message: `nobody can be asked during ${this.method}` }
    this.#questions ??= new OpenQuestions()
    if (!this.#questions.hasRoomFor(message.length) || scan.idEnd - scan.idStart > MAX_ID_BYTES)
      return { code: RpcCode.internalError, message: 'too many, or too large, questions at once' }
    return refusalOf(method, message, scan, this.envelope.capabilities)
  }

  /** Questions that come together are put together. */
  #showSoon(): void {
    if (this.client === undefined) return
    if (this.#settling === undefined) this.#settling = setTimeout(() => this.#show(), SETTLE_MS)
    else this.#settling.refresh()
  }

  #show(): void {
    clearTimeout(this.#settling)
    this.#settling = undefined
    const { client } = this
    const questions = this.#questions
    if (client === undefined || questions === undefined || questions.size === 0 || this.over) return
    this.round++
    const parked = this.#host.parking.park(this, this.#binding)
    if ('limit' in parked) {
      const message = `too many calls wait for answers already (${parked.limit} ${parked.of})`
      const error = new GatewayError('ERR_LIMIT_EXCEEDED', message, { data: { limit: parked.limit } })
      this.cancel('it cannot wait for the client')
      this.#host.detached(client)
      client.fail(error)
      return
    }
    this.client = undefined
    this.#host.detached(client)
    this.#host.parked(client, this)
    this.#requireInput(client, questions.show(), parked.state)
  }

  #note({ required }: Refusal): void {
    if (required !== undefined) this.#undeclared = { ...this.#undeclared, ...required }
  }

  #end(givenUp = false): void {
    this.over = true
    clearTimeout(this.#settling)
    // the client may have been asked already: what it answers will still find the server waiting
    const kept = this.client === undefined ? [] : (this.#questions?.all() ?? [])
    this.session.ended(this, givenUp, kept)
  }

  #deliver(outcome: Outcome | SallyportError): void {
    const { client } = this
    if (client === undefined) {
      const bytes = 'response' in outcome ? outcome.response.length : 0
      this.#outcome = this.#host.parking.mayKeep(this, bytes) ? outcome : this.#tooLarge()
      return
    }
    this.client = undefined
    this.#host.detached(client)
    if (!('response' in outcome)) client.fail(outcome)
    else if (this.#undeclared !== undefined && (outcome.scan.errorStart >= 0 || outcome.scan.isError))
      this.#reject(client, missingCapability(this.#undeclared, wordsOf(outcome.response, outcome.scan)))
    else if (outcome.scan.errorStart < 0) {
      const { response, scan } = outcome
      client.final(modernResult(response, scan, client, this.#host.serverInfo), scan, 200)
    } else this.#deliverError(client, outcome)
  }

  #tooLarge(): SallyportError {
    const message = 'answered while its client was away, with more than can be kept'
    return new UpstreamError('ERR_UPSTREAM_PROTOCOL', this.#host.server, message)
  }

  #deliverError(client: Call, { response, scan }: Outcome): void {
    const error = readError(response, scan)
    const requests = urlElicitations(error)
    if (requests === undefined || !this.isAskable) this.#reject(client, modernError(error, client))
    else if (!canOpenUrls(this.envelope))
      this.#reject(client, missingCapability({ elicitation: { url: {} } }))
    else this.#requireInput(client, requests, this.#host.parking.again(this.#binding))
  }

  #requireInput(client: Call, requests: readonly string[], state: string): void {
    const result = inputRequired(requests, state, this.#host.serverInfo)
    const { bytes, scan } = scanned(resultMessage(client.idText, result))
    client.final(bytes, scan, 200)
  }

  #reject(client: Call, error: Parameters<typeof errorResponse>[1]): void {
    const { bytes, scan } = errorResponse(client.idText, error)
    client.final(bytes, scan, modernStatus(error.code))
  }
}

function canOpenUrls({ capabilities: { elicitation } }: RequestEnvelope): boolean {
  return isRecord(elicitation) && elicitation['url'] !== undefined
}

/** Headers that repeat parts of a modern message mean nothing to a server of the legacy era. */
function withoutModern(headers: readonly string[]): readonly string[] {
  if (headers.length === 0) return headers
  return headers.filter((_, index) => headers[index - (index % 2)]?.startsWith('mcp-') !== true)
}

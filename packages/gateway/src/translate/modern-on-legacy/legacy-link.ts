import { type SallyportError, UpstreamError } from '@sallyport/core'
import type { Call } from '../../call/call.ts'
import type { GatewayLimits } from '../../gateway-options.ts'
import { legacyFacts } from '../../upstream/era.ts'
import type { ModernLink, ModernNotice, QuestionGate } from '../../upstream/modern-link.ts'
import type { Upstream } from '../../upstream/upstream.ts'
import { parseJson } from '../../wire/client-message.ts'
import { resultMessage } from '../../wire/json-rpc.ts'
import { modernStatus } from '../../wire/modern-status.ts'
import { RpcCode } from '../../wire/protocol.ts'
import { inputResponses } from './input-required.ts'
import { edited, requestDigest, scanned, stateOwner } from './legacy-request.ts'
import { ListenHub } from './listen-hub.ts'
import { errorResponse, type RpcErrorObject } from './modern-response.ts'
import type { ParkedCalls } from './parked-calls.ts'
import { readEnvelope, type RequestEnvelope } from './request-envelope.ts'
import { discoverResult } from './server-introduction.ts'
import { SessionPool } from './session-pool.ts'
import { type CallHost, isAskable, TranslatedCall } from './translated-call.ts'

export interface LegacyLinkOptions {
  readonly upstream: Upstream
  readonly parking: ParkedCalls<TranslatedCall>
  readonly limits: GatewayLimits
  readonly clientInfo: { readonly name: string; readonly version: string }
  /** The server gets credentials of the caller. */
  readonly perPrincipal: boolean
  readonly now: () => number
  readonly notice: ModernNotice
  /** Asked before anything waits for the client. */
  readonly mayAsk: QuestionGate
}

/** Methods of the legacy era that the modern one has not: here they would change the session that others use as well. */
const LEGACY_ONLY =
  /^(?:initialize|ping|logging\/setLevel|resources\/(?:un)?subscribe|tasks\/.*|roots\/list|sampling\/createMessage|elicitation\/create)$/

/** Calls of the modern era to a server that only speaks the legacy one: sessions are opened, kept and shared on their behalf. */
export class LegacyLink implements ModernLink, CallHost {
  readonly #options: LegacyLinkOptions
  readonly #pool: SessionPool
  readonly #hub: ListenHub
  readonly #calls = new Map<Call, TranslatedCall>()
  /** By the request that was answered with questions, for as long as somebody may find that the answer does not reach the client. */
  readonly #asking = new WeakMap<Call, TranslatedCall>()
  #nextId = 1

  constructor(options: LegacyLinkOptions) {
    this.#options = options
    this.#pool = new SessionPool(options)
    this.#hub = new ListenHub(options)
  }

  /** Its sessions have processes of their own. */
  get process(): undefined {
    return undefined
  }

  get server(): string {
    return this.#options.upstream.name
  }

  get parking(): ParkedCalls<TranslatedCall> {
    return this.#options.parking
  }

  get serverInfo(): Readonly<Record<string, unknown>> | undefined {
    const era = this.#options.upstream.knownEra
    return era === undefined ? undefined : legacyFacts(era)?.serverInfo
  }

  /** Nothing is open that began here. */
  get isEmpty(): boolean {
    return this.#calls.size + this.#pool.size + this.#hub.size + this.parking.size === 0
  }

  send(call: Call): void {
    const { method, scan } = call
    if (method === 'server/discover') this.#discover(call)
    else if (method === 'subscriptions/listen') this.#hub.listen(call)
    else if (LEGACY_ONLY.test(method))
      reject(call, { code: RpcCode.methodNotFound, message: `Method not found: ${method}` })
    else {
      const envelope = readEnvelope(call)
      if (envelope === 'unknown log level') reject(call, invalid('the log level is none of those that exist'))
      else if (scan.stateStart < 0 && scan.responsesStart < 0) this.#start(call, envelope)
      else this.#return(call, envelope)
    }
  }

  cancel(call: Call, reason: string | undefined): void {
    const translated = this.#calls.get(call) ?? this.#asking.get(call)
    if (translated === undefined) this.#hub.cancel(call)
    else {
      this.#calls.delete(call)
      this.#asking.delete(call)
      translated.cancel(reason)
    }
  }

  detached(client: Call): void {
    this.#calls.delete(client)
  }

  parked(client: Call, translated: TranslatedCall): void {
    this.#asking.set(client, translated)
  }

  /** True if the state is one of those that were given out here, good or not: a server of the modern era would make nothing of it. */
  gave(call: Call): boolean {
    return call.scan.stateStart >= 0 && this.#look(call).is !== 'invalid'
  }

  /** The server speaks the modern era now. What is open goes on; subscriptions end, and clients open them anew. */
  retire(): void {
    this.#hub.close()
    this.#pool.closeIdle()
  }

  close(): Promise<void> {
    this.#hub.close()
    this.#pool.close()
    return Promise.resolve()
  }

  #discover(call: Call): void {
    const era = this.#options.upstream.knownEra
    const facts = era === undefined ? undefined : legacyFacts(era)
    if (facts === undefined) {
      call.fail(
        new UpstreamError('ERR_UPSTREAM_ERA', this.server, 'has not said what it speaks', {
          retrySafe: true,
        }),
      )
      return
    }
    const { bytes, scan } = scanned(resultMessage(call.idText, discoverResult(facts)))
    call.final(bytes, scan, 200)
  }

  #start(call: Call, envelope: RequestEnvelope): void {
    const session = this.#pool.sessionFor(call, envelope)
    if (session instanceof Error) {
      call.fail(session)
      return
    }
    const translated = new TranslatedCall(call, envelope, this.#nextId++, session, this)
    this.#calls.set(call, translated)
    session.send(translated)
  }

  /** A request that brings answers, or what looks like some. */
  #return(call: Call, envelope: RequestEnvelope): void {
    const responses = inputResponses(call)
    if (responses === undefined) {
      reject(call, invalid('params.inputResponses must be an object of objects'))
      return
    }
    // answers without a state answer nothing that was asked: the server will ask
    if (call.scan.stateStart < 0) {
      this.#start(call, envelope)
      return
    }
    const found = this.#look(call)
    if (found.is === 'parked') {
      this.#calls.set(call, found.call)
      found.call.resume(call, envelope, responses)
    } else if (found.is === 'again') this.#startAgain(call, envelope, responses)
    else if (found.is === 'elsewhere') call.fail(this.#lost())
    else reject(call, { ...invalid(UNUSABLE[found.is]), data: { retrySafe: false } })
  }

  /** The server gave the request up until a person has opened a page. */
  #startAgain(call: Call, envelope: RequestEnvelope, responses: ReadonlyMap<string, string>): void {
    for (const response of responses.values()) {
      const { action }: { action?: unknown } = Object(parseJson(Buffer.from(response)))
      if (action === 'accept') continue
      reject(call, { code: RpcCode.internalError, message: 'the page that the server needs was not opened' })
      return
    }
    this.#start(call, envelope)
  }

  #look(call: Call) {
    const { bytes, scan, method } = call
    const state = parseJson(bytes.subarray(scan.stateStart, scan.stateEnd))
    if (typeof state !== 'string' || !isAskable(method)) return { is: 'invalid' } as const
    const boundTo = {
      caller: stateOwner(call, this.server),
      get digest() {
        return requestDigest(method, edited(call))
      },
    }
    return this.parking.look(state, boundTo)
  }

  /** The call that waited for these answers is in another process, or ended with one. */
  #lost(): SallyportError {
    const message = 'the call that waits for these answers is not in this process; it may have run in part'
    return new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', this.server, message)
  }
}

const UNUSABLE = {
  invalid: 'the requestState is not one for this request',
  expired: 'the answers came too late; send the request again without requestState',
  used: 'the requestState has been used already',
}

function invalid(message: string): RpcErrorObject {
  return { code: RpcCode.invalidParams, message }
}

function reject(call: Call, error: RpcErrorObject): void {
  const { bytes, scan } = errorResponse(call.idText, error)
  call.final(bytes, scan, modernStatus(error.code))
}

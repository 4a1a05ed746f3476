import { type RequestContext, SallyportError } from '@sallyport/core'
import type { Call } from '../../call/call.ts'
import { InternalCall, type InternalAnswer } from '../../call/internal-call.ts'
import { LegacyPeer, type PeerHost } from '../../legacy/legacy-peer.ts'
import type { Upstream } from '../../upstream/upstream.ts'
import { isRecord, parseJson } from '../../wire/client-message.ts'
import { resultMessage } from '../../wire/json-rpc.ts'
import { LATEST_LEGACY, RpcCode } from '../../wire/protocol.ts'
import type { MessageScan } from '../../wire/scan-message.ts'
import type { Listener } from './listener.ts'
import { errorResponse } from './modern-response.ts'
import type { NotificationFilter } from './notification-filter.ts'

export interface EarOptions {
  readonly upstream: Upstream
  readonly context: RequestContext
  readonly clientInfo: { readonly name: string; readonly version: string }
  /** The server could not be listened to; the listener is told by the ear. */
  readonly onFailed: (listener: Listener) => void
}

type Answer = InternalAnswer | SallyportError

/** To one resource, for all who want to hear about it. */
interface Subscription {
  listeners: number
  /** False if the server does not agree. */
  readonly agreed: Promise<boolean>
}

/** Subscriptions that a server is asked for, or asked to end, at the same time. */
const MOST_AT_ONCE = 8
const RETRY_MS = 1_000
const LONGEST_RETRY_MS = 30_000

/**
 * A session with a server that is there to listen, however many clients do: the server says everything once, and is asked
 * once for each resource that somebody wants to hear about.
 */
export class Ear implements PeerHost {
  /** Of the newest subscription. */
  context: RequestContext
  readonly answersQuestions = false
  readonly protocolVersion = LATEST_LEGACY
  readonly initializeParams: Readonly<Record<string, unknown>>
  readonly #upstream: Upstream
  readonly #onFailed: EarOptions['onFailed']
  readonly #peer: LegacyPeer
  readonly #listeners = new Map<Listener, NotificationFilter>()
  readonly #subscriptions = new Map<string, Subscription>()
  /** Requests that wait until there are fewer, in order. */
  readonly #turns: (() => void)[] = []
  #asking = 0
  #wasOpen = false
  #retry: NodeJS.Timeout | undefined
  #retryMs = RETRY_MS
  #closed = false

  constructor({ upstream, context, clientInfo, onFailed }: EarOptions) {
    this.#upstream = upstream
    this.#onFailed = onFailed
    this.context = context
    this.initializeParams = { protocolVersion: LATEST_LEGACY, capabilities: {}, clientInfo }
    this.#peer = new LegacyPeer(upstream, this)
    this.#peer.listen()
  }

  get isEmpty(): boolean {
    return this.#listeners.size === 0
  }

  has(listener: Listener): boolean {
    return this.#listeners.has(listener)
  }

  /** @param filter what the server can honour, as far as it has declared */
  async add(listener: Listener, filter: NotificationFilter): Promise<void> {
    this.#listeners.set(listener, filter)
    this.context = listener.call.context
    const open = await this.#ask('ping', {})
    if (!this.has(listener)) return
    if (SallyportError.isInstance(open)) {
      this.#onFailed(listener)
      listener.fail(open)
      return
    }
    const agreed = await this.#subscribeAll(listener, filter.uris)
    if (!this.has(listener)) {
      for (const uri of agreed) this.#unsubscribe(uri)
      return
    }
    const heard = { ...filter, uris: filter.uris.filter((uri) => agreed.has(uri)) }
    this.#listeners.set(listener, heard)
    listener.acknowledge(heard)
  }

  remove(listener: Listener): void {
    const filter = this.#listeners.get(listener)
    if (!this.#listeners.delete(listener)) return
    // what it had not been told yet that it hears is given back by `add`
    if (listener.isAcknowledged) for (const uri of filter?.uris ?? []) this.#unsubscribe(uri)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#peer.close()
  }

  fromServer(_peer: LegacyPeer, message: Buffer, scan: MessageScan): void {
    const method = String(parseJson(message.subarray(scan.methodStart, scan.methodEnd)))
    if (scan.idStart >= 0) this.#asked(method, message.subarray(scan.idStart, scan.idEnd))
    else {
      const value = scan.paramsStart < 0 ? {} : parseJson(message.subarray(scan.paramsStart, scan.paramsEnd))
      const params = isRecord(value) ? value : {}
      const { uri } = params
      for (const listener of this.#listeners.keys()) {
        if (method !== 'notifications/resources/updated') listener.listChanged(method, params)
        else if (typeof uri === 'string') listener.resourceUpdated(uri, params)
      }
    }
  }

  upstreamSession(): void {}

  refused(): void {}

  opened(): void {
    this.#retryMs = RETRY_MS
    if (this.#wasOpen) {
      for (const uri of this.#subscriptions.keys()) void this.#askInTurn('resources/subscribe', { uri })
      for (const listener of this.#listeners.keys()) listener.mayHaveMissed()
    }
    this.#wasOpen = true
  }

  lost(): void {
    if (this.#closed || this.isEmpty) return
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => {
      void this.#ask('ping', {}).then((answer) => {
        if (SallyportError.isInstance(answer)) this.lost()
      })
    }, this.#retryMs)
    this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS)
  }

  #asked(method: string, id: Buffer): void {
    const error = { code: RpcCode.methodNotFound, message: 'this session only listens' }
    this.#peer.respond(method === 'ping' ? resultMessage(id, '{}') : errorResponse(id, error).bytes)
  }

  /** The resources that the server agrees to; as far as it got, if the listener goes away meanwhile. */
  async #subscribeAll(listener: Listener, uris: readonly string[]): Promise<ReadonlySet<string>> {
    const agreed = new Set<string>()
    const left = uris.values()
    const some = async () => {
      for (const uri of left) {
        if (!this.has(listener)) return
        if (await this.#subscribe(uri)) agreed.add(uri)
      }
    }
    await Promise.all(Array.from({ length: MOST_AT_ONCE }, some))
    return agreed
  }

  #subscribe(uri: string): Promise<boolean> {
    const known = this.#subscriptions.get(uri)
    if (known !== undefined) {
      known.listeners++
      return known.agreed
    }
    const agreed = this.#askInTurn('resources/subscribe', { uri }).then((answer) => {
      if (!('result' in answer) && this.#subscriptions.get(uri) === subscription)
        this.#subscriptions.delete(uri)
      return 'result' in answer
    })
    const subscription: Subscription = { listeners: 1, agreed }
    this.#subscriptions.set(uri, subscription)
    return agreed
  }

  #unsubscribe(uri: string): void {
    const subscription = this.#subscriptions.get(uri)
    if (subscription === undefined || --subscription.listeners > 0) return
    this.#subscriptions.delete(uri)
    void this.#askInTurn('resources/unsubscribe', { uri })
  }

  /** A client may name a thousand resources at once: the server is not asked about all of them at once. */
  async #askInTurn(method: string, params: unknown): Promise<Answer> {
    if (this.#asking < MOST_AT_ONCE) this.#asking++
    else await new Promise<void>((resolve) => void this.#turns.push(resolve))
    const answer = await this.#ask(method, params)
    const next = this.#turns.shift()
    if (next === undefined) this.#asking--
    else next()
    return answer
  }

  #ask(method: string, params: unknown): Promise<Answer> {
    return new Promise((resolve) => {
      const call: Call = new InternalCall(this.#upstream.name, this.context, method, params, [], resolve)
      this.#peer.send(call)
    })
  }
}

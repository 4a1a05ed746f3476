import {
  isStdioServer,
  type McpSessionRecord,
  type Principal,
  principalKey,
  type RequestContext,
} from '@sallyport/core'
import type { AuditTrail } from '../call/audit-trail.ts'
import type { Call } from '../call/call.ts'
import { isOneServer } from '../call/endpoint.ts'
import { Flow, type FlowKeeper } from '../call/flow.ts'
import { InternalCall } from '../call/internal-call.ts'
import type { ObservedSession } from '../observe/observed-session.ts'
import type { ServerMessageScreen } from '../policy/server-message-screen.ts'
import { legacyFacts } from '../upstream/era.ts'
import { ShortLivedMap } from '../short-lived-map.ts'
import type { Upstream } from '../upstream/upstream.ts'
import {
  cancelledKey,
  idKey,
  isRecord,
  parseJson,
  type RpcId,
  type RpcMessage,
} from '../wire/client-message.ts'
import { errorMessage } from '../wire/json-rpc.ts'
import { PRIMING_SINCE, RpcCode } from '../wire/protocol.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import { type Edit, splice } from '../wire/splice.ts'
import { type EventStream, type EventStreamLimits, EventStreams } from './event-streams.ts'
import { LegacyPeer, type PeerHost } from './legacy-peer.ts'
import type { ReplayBudget } from './replay-budget.ts'

export interface LegacySessionOptions {
  readonly id: string
  readonly principal: Principal
  /** The one server that the session is with, or `toolsets/<name>`; absent on the aggregated endpoint. */
  readonly endpoint: string | undefined
  readonly protocolVersion: string
  readonly initializeParams: Readonly<Record<string, unknown>>
  readonly remoteAddress: string | undefined
  /** Where messages go that belong to no call: standard output, or (absent) the session's own event stream. */
  readonly outlet?: ((message: Buffer) => void) | undefined
  readonly shared: SessionSurroundings
}

/** What all sessions of a gateway have in common. */
export interface SessionSurroundings {
  readonly trail: AuditTrail
  readonly streamLimits: EventStreamLimits
  readonly replay: ReplayBudget
  /** Other processes use sessions as well. */
  readonly isShared: boolean
  /** A server has given its session with this session an id. */
  readonly onUpstreamSession: (session: LegacySession, server: string, sessionId: string) => void
  /** What servers say is asked about here, if there is a policy. */
  readonly screen: ServerMessageScreen | undefined
  /** A list of this server has changed. */
  readonly onListChanged: (session: LegacySession, server: string, method: string) => void
  /** The server had forgotten the session, so it may not be what it was. */
  readonly onReopened: (session: LegacySession, server: string) => void
}

interface Question {
  readonly peer: LegacyPeer
  /** The id as the server spelled it. */
  readonly id: Buffer
  /** The progress token, likewise. */
  readonly token: Buffer | undefined
}

/** What a server keeps for a session, and has to be told again when it has forgotten the session. */
interface KeptState {
  subscriptions: Set<string> | undefined
  /** Its session was open before. */
  opened: boolean
}

const NO_SESSIONS: Readonly<Record<string, string>> = Object.freeze({})
/** Questions that one session keeps open; a server that asks more is not waiting for all of them. */
const MAX_QUESTIONS = 1_000
/** Bytes of the id of a server's request: it is kept until the answer comes. */
const MAX_QUESTION_ID = 1_024

function questionKey(id: Buffer): RpcId {
  const value = parseJson(id)
  return typeof value === 'string' || typeof value === 'number' ? idKey(value, id) : id.toString()
}

/** A session of the legacy era between one client and one or many servers. */
export class LegacySession implements PeerHost, FlowKeeper {
  readonly id: string
  readonly owner: string
  readonly endpoint: string | undefined
  protocolVersion: string
  readonly initializeParams: Readonly<Record<string, unknown>>
  context: RequestContext
  readonly answersQuestions: boolean
  /** Milliseconds since the epoch. */
  lastUsedAt: number
  /** What the client asked for with `logging/setLevel`; told to servers that join later. */
  logLevel: string | undefined
  readonly #shared: SessionSurroundings
  readonly #outlet: ((message: Buffer) => void) | undefined
  readonly #peers = new Map<string, LegacyPeer>()
  readonly #flows = new ShortLivedMap<RpcId, Flow>()
  #upstreamSessions: Readonly<Record<string, string>> = NO_SESSIONS
  readonly #replaced: LegacyPeer[] = []
  readonly #kept = new Map<string, KeptState>()
  /** Absent unless somebody was there to hear that it was opened or wants to hear of its end. */
  observed: ObservedSession | undefined
  #questions: Map<RpcId, Question> | undefined
  #streams: EventStreams | undefined
  #unasked: EventStream | undefined
  #nextQuestion = 1
  #listening = false
  #closed = false

  constructor(options: LegacySessionOptions) {
    const { principal, protocolVersion, endpoint, remoteAddress, initializeParams } = options
    this.#shared = options.shared
    this.#outlet = options.outlet
    this.id = options.id
    this.owner = principalKey(principal)
    this.endpoint = endpoint
    this.protocolVersion = protocolVersion
    this.initializeParams = initializeParams
    this.lastUsedAt = options.shared.trail.now()
    const { capabilities } = initializeParams
    this.answersQuestions =
      isRecord(capabilities) && ['sampling', 'elicitation', 'roots'].some((name) => name in capabilities)
    this.context = {
      principal,
      era: 'legacy',
      protocolVersion,
      sessionId: options.id,
      endpoint,
      remoteAddress,
    }
  }

  /** Several servers may speak in it, so that their ids are not enough to tell them apart. */
  get joined(): boolean {
    return !isOneServer(this.endpoint)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Somebody waits: for an answer, or for what servers say unasked. */
  get isInUse(): boolean {
    return this.#flows.size > 0 || this.#outlet !== undefined || this.#unasked?.attached === true
  }

  get openCalls(): number {
    return this.#flows.size
  }

  settled(flow: Flow): void {
    const { key } = flow
    if (key !== undefined) this.#flows.delete(key)
    this.lastUsedAt = this.#shared.trail.now()
  }

  /** The same caller with another proof of identity, which may carry other roles and scopes: the newest counts. */
  provedBy(principal: Principal): void {
    if (this.context.principal !== principal) this.context = { ...this.context, principal }
  }

  /** The server chose another version than the client proposed. */
  negotiated(version: string): void {
    this.protocolVersion = version
    this.context = { ...this.context, protocolVersion: version }
  }

  /** False if the client used the id of a request that is still open (JSON-RPC section 4.1). */
  register(flow: Flow): boolean {
    const { key } = flow
    if (key === undefined || this.#flows.has(key)) return false
    this.#flows.set(key, flow)
    flow.keptBy(this)
    return true
  }

  /** The session with one server, opened when it is first needed; replaced when the server was reconfigured. */
  peer(upstream: Upstream): LegacyPeer {
    const known = this.#peers.get(upstream.name)
    if (known?.upstream === upstream) return known
    // calls that are open there end there
    if (known !== undefined) this.#replaced.push(known)
    const peer = new LegacyPeer(upstream, this)
    this.#peers.set(upstream.name, peer)
    if (this.#listening) peer.listen()
    return peer
  }

  /** The servers that this session has talked to. */
  peers(): Iterable<LegacyPeer> {
    return this.#peers.values()
  }

  /** A notification of the client. */
  notify(message: RpcMessage): void {
    if (message.method === 'notifications/cancelled') {
      const { reason } = message.params
      const key = cancelledKey(message)
      const flow = key === undefined ? undefined : this.#flows.get(key)
      flow?.cancel(typeof reason === 'string' ? reason : undefined)
      return
    }
    // on the aggregated endpoint the handshakes with servers are the gateway's own
    if (message.method === 'notifications/initialized' && this.joined) return
    if (message.scan.progressStart >= 0 && this.joined) {
      this.#progress(message)
      return
    }
    // a request without an id would be a way past everything that looks at requests
    if (!message.method.startsWith('notifications/')) return
    for (const peer of this.#peers.values()) peer.notify(message.bytes)
  }

  /** The client's answer to a question of a server; false if nobody asked. */
  respond(message: RpcMessage): boolean {
    const { bytes, scan } = message
    const key = questionKey(bytes.subarray(scan.idStart, scan.idEnd))
    const question = this.#questions?.get(key)
    if (question === undefined) return this.#answerElsewhere(message)
    this.#questions?.delete(key)
    question.peer.respond(splice(bytes, [scan.idStart, scan.idEnd, question.id]))
    return true
  }

  /**
   * Another process may have shown the question. On its own path a server's question keeps its id, so that a server which
   * is reached over HTTP can tell by itself what is answered.
   */
  #answerElsewhere(message: RpcMessage): boolean {
    if (!this.#shared.isShared || this.endpoint === undefined) return false
    const peer = this.#peers.get(this.endpoint)
    if (peer === undefined || isStdioServer(peer.upstream.definition)) return false
    peer.respond(message.bytes)
    return true
  }

  fromServer(peer: LegacyPeer, message: Buffer, scan: MessageScan, call: Call | undefined): void {
    if (this.#closed) return
    const method = String(parseJson(message.subarray(scan.methodStart, scan.methodEnd)))
    if (method.endsWith('/list_changed')) this.#shared.onListChanged(this, peer.name, method)
    const { screen } = this.#shared
    const allowed =
      screen === undefined || screen.allows(this.context.principal, peer.name, method, message, scan)
    if (allowed === true) this.#pass(peer, message, scan, method, call)
    else if (allowed === false) this.#turnBack(peer, message, scan, method)
    else {
      void allowed.then((it) => {
        if (this.#closed) return
        if (it) this.#pass(peer, message, scan, method, call)
        else this.#turnBack(peer, message, scan, method)
      })
    }
  }

  /** A question that policy does not allow is answered as by a client that cannot be asked. */
  #turnBack(peer: LegacyPeer, message: Buffer, scan: MessageScan, method: string): void {
    this.#record(peer, message, scan, method, 'refused')
    if (scan.idStart < 0) return
    const id = message.subarray(scan.idStart, scan.idEnd)
    peer.respond(errorMessage(id, { code: RpcCode.methodNotFound, message: 'the client does not do this' }))
  }

  #pass(peer: LegacyPeer, message: Buffer, scan: MessageScan, method: string, call: Call | undefined): void {
    this.#record(peer, message, scan, method, 'ok')
    if (this.joined && method.endsWith('/list_changed')) return
    if (scan.idEnd - scan.idStart > MAX_QUESTION_ID) return
    const shown =
      scan.idStart >= 0 ? this.#ask(peer, message, scan) : this.#notice(peer, message, scan, method)
    if (shown === undefined) return
    if (call instanceof Flow && !call.settled) call.interim(shown)
    else this.tell(shown)
  }

  upstreamSession(server: string, sessionId: string): void {
    this.#upstreamSessions = { ...this.#upstreamSessions, [server]: sessionId }
    this.#shared.onUpstreamSession(this, server, sessionId)
  }

  /** A request that makes a server keep something for this session: remembered, because servers forget. */
  remember(server: string, method: string, params: Readonly<Record<string, unknown>>): void {
    const { uri, level } = params
    if (method === 'logging/setLevel' && typeof level === 'string') this.logLevel = level
    else if (method === 'resources/subscribe' && typeof uri === 'string') {
      const state = this.#state(server)
      state.subscriptions ??= new Set()
      state.subscriptions.add(uri)
    } else if (method === 'resources/unsubscribe' && typeof uri === 'string')
      this.#state(server).subscriptions?.delete(uri)
  }

  opened(peer: LegacyPeer): void {
    const state = this.#state(peer.name)
    const again = state.opened
    state.opened = true
    // on its own path a server hears of the level from the client, but for sessions that the client does not see
    if (this.logLevel !== undefined && (again || this.joined)) tellLogLevel(peer, this.context, this.logLevel)
    if (!again) return
    for (const uri of state.subscriptions ?? []) tellAgain(peer, this.context, 'resources/subscribe', { uri })
    this.#shared.onReopened(this, peer.name)
  }

  lost(): void {}

  refused(): void {}

  /** Sends what belongs to no call. Kept, within limits, until the client listens. */
  tell(message: Buffer): void {
    if (this.#outlet !== undefined) this.#outlet(message)
    else this.unasked().push(message)
  }

  get streams(): EventStreams {
    this.#streams ??= this.#newStreams()
    return this.#streams
  }

  get streamLoad(): EventStreams['load'] {
    return this.#streams?.load ?? { attached: 0, keptBytes: 0 }
  }

  createStream(): EventStream {
    return this.streams.create('call')
  }

  /** Lets go of what is only kept for a while. */
  sweep(): void {
    this.#streams?.sweep()
  }

  #newStreams(): EventStreams {
    const { streamLimits, replay, trail } = this.#shared
    const priming = this.protocolVersion >= PRIMING_SINCE
    return new EventStreams(streamLimits, replay.of(this.owner), priming, () => trail.now())
  }

  /** The stream of the client's GET. */
  unasked(): EventStream {
    if (this.#unasked === undefined || !this.#unasked.open) this.#unasked = this.streams.create('unasked')
    return this.#unasked
  }

  /** The client listens, so servers may speak unasked. */
  listen(): void {
    this.#listening = true
    for (const peer of this.#peers.values()) peer.listen()
  }

  record(expiresAt: number): McpSessionRecord {
    const { endpoint } = this
    return {
      id: this.id,
      tenant: this.context.principal.tenant,
      owner: this.owner,
      protocolVersion: this.protocolVersion,
      initializeParams: JSON.stringify(this.initializeParams),
      upstreamSessions: this.#upstreamSessions,
      expiresAt,
      ...(endpoint !== undefined && { endpoint }),
    }
  }

  /** @param keepUpstreamSessions another process goes on with them */
  close(keepUpstreamSessions = false): void {
    if (this.#closed) return
    this.#closed = true
    for (const flow of this.#flows.values()) flow.cancel('the session ended')
    for (const peer of [...this.#peers.values(), ...this.#replaced]) peer.close(keepUpstreamSessions)
    this.#peers.clear()
    this.#questions?.clear()
    this.#streams?.close()
  }

  /** Remembers who asked. Where several servers speak, their ids may collide, so the client sees one of ours. */
  #ask(peer: LegacyPeer, message: Buffer, scan: MessageScan): Buffer {
    const id = message.subarray(scan.idStart, scan.idEnd)
    const shownId = this.joined ? JSON.stringify(`${peer.name}/${this.#nextQuestion++}`) : id.toString()
    const hasToken = scan.tokenStart >= 0
    // copies: the message itself is not to be kept in memory
    const token = hasToken ? Buffer.from(message.subarray(scan.tokenStart, scan.tokenEnd)) : undefined
    this.#questions ??= new Map()
    this.#questions.set(questionKey(Buffer.from(shownId)), { peer, id: Buffer.from(id), token })
    const [oldest] = this.#questions.keys()
    if (this.#questions.size > MAX_QUESTIONS && oldest !== undefined) this.#questions.delete(oldest)
    if (!this.joined) return message
    const edits: Edit[] = [[scan.idStart, scan.idEnd, shownId]]
    if (hasToken) edits.push([scan.tokenStart, scan.tokenEnd, shownId])
    return splice(message, ...edits)
  }

  /** The client's progress with a question goes to the server that asked, under that server's own token. */
  #progress({ bytes, scan }: RpcMessage): void {
    const question = this.#questions?.get(questionKey(bytes.subarray(scan.progressStart, scan.progressEnd)))
    if (question?.token !== undefined)
      question.peer.notify(splice(bytes, [scan.progressStart, scan.progressEnd, question.token]))
  }

  #state(server: string): KeptState {
    const known = this.#kept.get(server)
    if (known !== undefined) return known
    const state: KeptState = { subscriptions: undefined, opened: false }
    this.#kept.set(server, state)
    return state
  }

  #notice(peer: LegacyPeer, message: Buffer, scan: MessageScan, method: string): Buffer | undefined {
    if (method !== 'notifications/cancelled' || !this.joined) return message
    const id = message.subarray(scan.requestIdStart, scan.requestIdEnd)
    for (const [shownId, question] of this.#questions ?? []) {
      if (question.peer !== peer || !question.id.equals(id)) continue
      this.#questions?.delete(shownId)
      const edit: Edit = [scan.requestIdStart, scan.requestIdEnd, JSON.stringify(shownId)]
      return splice(message, edit)
    }
    return undefined
  }

  #record(
    peer: LegacyPeer,
    message: Buffer,
    scan: MessageScan,
    method: string,
    status: 'ok' | 'refused',
  ): void {
    const { trail } = this.#shared
    const { principal, endpoint } = this.context
    trail.note(
      {
        at: trail.now(),
        from: 'server',
        kind: scan.idStart >= 0 ? 'request' : 'notification',
        principal,
        era: 'legacy',
        sessionId: this.id,
        server: peer.name,
        method,
        bytes: message.length,
        endpoint,
      },
      { status, bytes: 0 },
    )
  }
}

/** Tells a server the log level of the session, unless it is known to have no log. */
export function tellLogLevel(peer: LegacyPeer, context: RequestContext, level: string): void {
  const facts = peer.upstream.knownEra
  const known = facts === undefined ? undefined : (facts.modern ?? legacyFacts(facts))
  if (known !== undefined && !isRecord(known.capabilities['logging'])) return
  tellAgain(peer, context, 'logging/setLevel', { level })
}

function tellAgain(
  peer: LegacyPeer,
  context: RequestContext,
  method: string,
  params: Readonly<Record<string, unknown>>,
): void {
  peer.send(new InternalCall(peer.name, context, method, params, [], () => {}))
}

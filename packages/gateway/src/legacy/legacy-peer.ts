import { isStdioServer, SallyportError, UpstreamError } from '@sallyport/core'
import type { Call, Carrier, CarrierSource } from '../call/call.ts'
import { InternalCall } from '../call/internal-call.ts'
import { BlamelessError } from '../upstream/blameless-error.ts'
import { tooSlow } from '../upstream/era.ts'
import { notSent } from '../upstream/not-sent.ts'
import type { Caller, LegacyTransport, LegacyTransportOwner } from '../upstream/legacy-transport.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { notificationMessage } from '../wire/json-rpc.ts'
import type { MessageScan } from '../wire/scan-message.ts'

/** The session that a peer works for. */
export interface PeerHost extends Caller {
  readonly answersQuestions: boolean
  readonly protocolVersion: string
  /** The `params` of the client's own `initialize`. */
  readonly initializeParams: Readonly<Record<string, unknown>>
  fromServer(peer: LegacyPeer, message: Buffer, scan: MessageScan, call: Call | undefined): void
  /** The server's session can be continued by another process under this id. */
  upstreamSession(server: string, sessionId: string): void
  /** A session with the server is open (again). */
  opened(peer: LegacyPeer): void
  /** The session with the server ended without being asked to; the next call opens another. */
  lost(peer: LegacyPeer): void
  /** The transport refused a question of the server, because this session declared that it answers none. */
  refused(peer: LegacyPeer, message: Buffer, scan: MessageScan, call: Call | undefined): void
}

/** A call that waits for the handshake, until `performance.now()` is `until`. */
interface Queued {
  readonly call: Call
  readonly until: number
}

/**
 * One client's session with one server. It outlives the server's: when the server forgot the session or its
 * process ended, the handshake is made again with what the client said, and calls that had not run are sent then.
 */
export class LegacyPeer implements Carrier, CarrierSource {
  readonly upstream: Upstream
  readonly #host: PeerHost
  readonly #queue: Queued[] = []
  #queueTimer: NodeJS.Timeout | undefined
  /** Calls that were sent a second time. */
  #resent: WeakSet<Call> | undefined
  #transport: LegacyTransport | undefined
  #state: 'idle' | 'opening' | 'ready' | 'closed' = 'idle'
  #listening = false
  #owner: Owner | undefined

  constructor(upstream: Upstream, host: PeerHost) {
    this.upstream = upstream
    this.#host = host
  }

  get name(): string {
    return this.upstream.name
  }

  get ready(): boolean {
    return this.#state === 'ready'
  }

  /** What the server says unasked gets here. */
  get isHeard(): boolean {
    return this.#state === 'ready' && (this.#listening || this.#transport?.speaksUnasked === true)
  }

  /** The client's own `initialize` opens the session; its answer passes through. */
  initialize(call: Call, opened: (response: Buffer) => void): void {
    this.#state = 'opening'
    const transport = this.#openTransport(call)
    if (transport === undefined) return
    transport.initialize({
      context: call.context,
      method: call.method,
      bytes: call.bytes,
      scan: call.scan,
      edits: call.edits,
      idText: call.idText,
      headers: call.headers,
      interim: (message, scan) => call.interim(message, scan),
      pause: (retryMs) => call.pause(retryMs),
      final: (response, scan, status) => {
        if (scan.errorStart < 0) {
          opened(response)
          this.#ready()
        } else this.#drop()
        call.final(response, scan, status)
      },
      fail: (error) => {
        this.#drop()
        call.fail(error)
      },
    })
  }

  /** It outlives the server's processes and sessions, so it is the same for every call. */
  carrierFor(): this {
    return this
  }

  /** Takes over a session that another process opened. */
  resume(sessionId: string | undefined): void {
    const { protocolVersion } = this.#host
    this.#transport = this.#open({ sessionId, protocolVersion })
    this.#state = 'ready'
  }

  send(call: Call): void {
    if (this.#state === 'ready' && this.#transport !== undefined) this.#transport.send(call)
    else {
      this.#queue.push({ call, until: performance.now() + this.upstream.openingMs })
      this.#queueTimer ??= this.#nextTimer()
      if (this.#state === 'idle') this.#handshake()
    }
  }

  cancel(call: Call, reason: string | undefined): void {
    const queued = this.#queue.findIndex((each) => each.call === call)
    if (queued >= 0) this.#queue.splice(queued, 1)
    else this.#transport?.cancel(call, reason)
  }

  notify(message: Buffer): void {
    if (this.#state === 'ready') this.#transport?.notify(message)
  }

  respond(message: Buffer): void {
    this.#transport?.respond(message)
  }

  listen(): void {
    this.#listening = true
    if (this.#state === 'ready') this.#transport?.listen()
  }

  /** @param keepSession another process goes on with the server's session */
  close(keepSession = false): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#transport?.close(keepSession)
    this.#failQueue(new BlamelessError('ERR_UPSTREAM_UNAVAILABLE', this.name, 'the session was closed'))
  }

  #sessionLost(call: Call | undefined): void {
    // several calls may find out at once, some of them late: one handshake serves them all
    if (this.#state === 'ready') {
      this.#state = 'idle'
      this.#transport?.close()
    }
    if (call !== undefined) this.#resend(call)
    else if (this.#state === 'idle') this.#handshake()
  }

  #resend(call: Call): void {
    this.#resent ??= new WeakSet()
    if (!this.#resent.has(call)) {
      this.#resent.add(call)
      this.send(call)
      return
    }
    const error = new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', this.name, 'keeps losing its session', {
      retrySafe: true,
    })
    call.fail(error)
  }

  #handshake(): void {
    this.#state = 'opening'
    const { context } = this.#host
    // how a server is reached over HTTP has to be known; one that was away when it was asked may be back
    if (this.upstream.knownEra !== undefined || isStdioServer(this.upstream.definition)) this.#initialize()
    else {
      void this.upstream.era(context).then((verdict) => {
        if (this.#state !== 'opening') return
        if (!SallyportError.isInstance(verdict)) this.#initialize()
        else {
          this.#state = 'idle'
          this.#failQueue(verdict)
        }
      })
    }
  }

  #initialize(): void {
    const { context, initializeParams } = this.#host
    const call = new InternalCall(this.name, context, 'initialize', initializeParams, [], (answer) => {
      if (this.#state === 'closed') return
      if ('result' in answer) {
        this.#transport?.notify(notificationMessage('notifications/initialized'))
        this.#ready()
        return
      }
      this.#drop()
      const refused = 'error' in answer ? answer.error.message : ''
      this.#failQueue(
        'error' in answer
          ? new UpstreamError('ERR_UPSTREAM_ERA', this.name, `refused to initialize: ${refused}`, {
              retrySafe: true,
            })
          : notSent(answer),
      )
    })
    this.#openTransport(call)?.initialize(call)
  }

  #openTransport(call: Call): LegacyTransport | undefined {
    try {
      this.#transport = this.#open(undefined)
      return this.#transport
    } catch (error) {
      if (!SallyportError.isInstance(error)) throw error
      this.#state = 'idle'
      call.fail(error)
      return undefined
    }
  }

  #open(resume: { sessionId: string | undefined; protocolVersion: string } | undefined): LegacyTransport {
    const { answersQuestions, protocolVersion } = this.#host
    const owner = new Owner(this)
    this.#owner = owner
    return this.upstream.legacy({ caller: this.#host, owner, answersQuestions, protocolVersion, resume })
  }

  /** What a transport reports after it was replaced is not this peer's business any more. */
  isCurrent(owner: Owner): boolean {
    return owner === this.#owner && this.#state !== 'closed'
  }

  fromServer(message: Buffer, scan: MessageScan, call: Call | undefined): void {
    this.#host.fromServer(this, message, scan, call)
  }

  sessionOpened(id: string): void {
    this.#host.upstreamSession(this.name, id)
  }

  /** @param isCurrent the session that was lost is the one that calls are sent in now */
  sessionLost(call: Call | undefined, isCurrent: boolean): void {
    if (isCurrent) this.#sessionLost(call)
    else if (call === undefined) return
    else if (this.#state === 'closed')
      call.fail(new BlamelessError('ERR_UPSTREAM_UNAVAILABLE', this.name, 'the session was closed'))
    else this.#resend(call)
  }

  refused(message: Buffer, scan: MessageScan, call: Call | undefined): void {
    this.#host.refused(this, message, scan, call)
  }

  transportClosed(): void {
    this.#transport = undefined
    if (this.#state !== 'ready') return
    this.#state = 'idle'
    this.#host.lost(this)
  }

  #ready(): void {
    this.#state = 'ready'
    this.#host.opened(this)
    if (this.#listening) this.#transport?.listen()
    for (const { call } of this.#emptied()) this.#transport?.send(call)
  }

  #drop(): void {
    this.#transport?.close()
    this.#transport = undefined
    if (this.#state !== 'closed') this.#state = 'idle'
  }

  #failQueue(error: SallyportError): void {
    for (const { call } of this.#emptied()) call.fail(error)
  }

  #emptied(): readonly Queued[] {
    clearTimeout(this.#queueTimer)
    this.#queueTimer = undefined
    return this.#queue.splice(0)
  }

  /** Calls do not wait for as long as a server may take to start; it goes on starting for those that come later. */
  #failOverdue(): void {
    const now = performance.now()
    while (this.#queue[0] !== undefined && this.#queue[0].until <= now) {
      const overdue = this.#queue.shift()
      overdue?.call.fail(tooSlow(this.name))
    }
    this.#queueTimer = this.#nextTimer()
  }

  #nextTimer(): NodeJS.Timeout | undefined {
    const [first] = this.#queue
    if (first === undefined) return undefined
    return setTimeout(() => this.#failOverdue(), Math.max(1, first.until - performance.now())).unref()
  }
}

/** Takes what one transport reports: an object per handshake, because sessions are many and closures would be six. */
class Owner implements LegacyTransportOwner {
  readonly #peer: LegacyPeer

  constructor(peer: LegacyPeer) {
    this.#peer = peer
  }

  fromServer(message: Buffer, scan: MessageScan, call: Call | undefined): void {
    if (this.#peer.isCurrent(this)) this.#peer.fromServer(message, scan, call)
  }

  sessionOpened(id: string): void {
    if (this.#peer.isCurrent(this)) this.#peer.sessionOpened(id)
  }

  sessionLost(call: Call | undefined): void {
    this.#peer.sessionLost(call, this.#peer.isCurrent(this))
  }

  refused(message: Buffer, scan: MessageScan, call: Call | undefined): void {
    if (this.#peer.isCurrent(this)) this.#peer.refused(message, scan, call)
  }

  closed(): void {
    if (this.#peer.isCurrent(this)) this.#peer.transportClosed()
  }
}

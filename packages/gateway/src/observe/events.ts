import type { CallOutcome, ProtocolEra, TraceContext } from '@sallyport/core'

/**
 * What the gateway tells on `node:diagnostics_channel`, by channel name. Nothing in it is an argument, a result, a header or a
 * token. Objects are shared by all subscribers: `start` and `end` of one call name the same object, so it can be the key of a
 * `WeakMap`.
 */
export interface GatewayEvents {
  /** A request of a client was understood, and nothing has been done for it yet. */
  'sallyport:gateway:call:start': GatewayCall
  /** The answer to it was sent, or nobody waits for one any more. */
  'sallyport:gateway:call:end': GatewayCallEnd
  /** The gateway did not let a message through: malformed, unauthenticated, forbidden, over a limit. */
  'sallyport:gateway:refusal': GatewayRefusal
  'sallyport:gateway:session:opened': GatewaySession
  'sallyport:gateway:session:ended': GatewaySessionEnd
  /** A request is about to be sent to a server: a client's, or one of the gateway's own (a handshake, a list). */
  'sallyport:upstream:call:start': UpstreamCall
  'sallyport:upstream:call:end': UpstreamCallEnd
  /** A server answers again, or does not any more. */
  'sallyport:upstream:state': UpstreamState
  /** A server said which protocol versions it speaks. */
  'sallyport:upstream:era': UpstreamEra
  /** The circuit breaker in front of a server has changed its mind. */
  'sallyport:upstream:breaker': UpstreamBreaker
  'sallyport:upstream:process:started': UpstreamProcess
  'sallyport:upstream:process:exited': UpstreamProcessExit
}

export interface GatewayCall {
  readonly method: string
  /** JSON-RPC id as the client wrote it. */
  readonly requestId: string | number | undefined
  /** Name of the tool or prompt, or the resource URI, as the client knows it. */
  readonly target: string | undefined
  /** The server whose own path was called; absent on the aggregated endpoint. */
  readonly endpoint: string | undefined
  readonly era: ProtocolEra
  readonly protocolVersion: string
  readonly sessionId: string | undefined
  readonly tenant: string
  readonly subject: string
  readonly remoteAddress: string | undefined
  /** As the client sent it, or as a subscriber before this one continued it. */
  readonly trace: TraceContext | undefined
  /**
   * What is done for this call goes on in this trace context: audit entries, requests of the gateway's own, and the message
   * to the server. Has an effect only while the event is being published. Members that are left out stay as they were.
   */
  continueTrace(trace: TraceContext): void
}

export interface GatewayCallEnd {
  readonly call: GatewayCall
  readonly status: CallOutcome['status']
  /** JSON-RPC error code, or one of our own `ERR_…` codes. */
  readonly code: number | string | undefined
  /** The server that it went to, if it went to one. */
  readonly server: string | undefined
  /** Size of the answer. */
  readonly bytes: number
  /** Milliseconds with fractions, by a clock that never jumps. */
  readonly durationMs: number
}

export interface GatewayRefusal {
  /** HTTP status, JSON-RPC error code, OAuth error code, or one of our own `ERR_…` codes. */
  readonly code: number | string | undefined
  readonly method: string | undefined
  readonly server: string | undefined
  readonly target: string | undefined
  readonly endpoint: string | undefined
  /** Absent before authentication. */
  readonly tenant: string | undefined
  readonly subject: string | undefined
  readonly remoteAddress: string | undefined
}

export interface GatewaySession {
  readonly sessionId: string
  readonly era: 'legacy'
  readonly protocolVersion: string
  /** Absent for sessions with all servers. */
  readonly endpoint: string | undefined
  readonly tenant: string
  readonly subject: string
  /** Another process opened it, and this one goes on with it. */
  readonly restored: boolean
}

export interface GatewaySessionEnd {
  readonly session: GatewaySession
  /** Since this process opened it or took it over. */
  readonly durationMs: number
}

export interface UpstreamCall {
  /** The client's call that this is a part of; absent for requests of the gateway's own. */
  readonly call: GatewayCall | undefined
  readonly server: string
  readonly method: string
  /** Name of the tool or prompt, or the resource URI, as the server knows it. */
  readonly target: string | undefined
  readonly era: ProtocolEra
  readonly protocolVersion: string
  /** Absent for requests of the gateway's own. */
  readonly transport: 'stdio' | 'http' | undefined
  /** Host name or address of a server that is reached over HTTP. */
  readonly address: string | undefined
  readonly port: number | undefined
  /** The trace context that the server is going to see. */
  readonly trace: TraceContext | undefined
  /**
   * The server gets this trace context, in `params._meta` (SEP-414) and, over HTTP, as headers. Has an effect only while the
   * event is being published. Members that are left out stay as they were.
   */
  continueTrace(trace: TraceContext): void
}

export interface UpstreamCallEnd {
  readonly call: UpstreamCall
  readonly status: Exclude<CallOutcome['status'], 'refused'>
  readonly code: number | string | undefined
  readonly bytes: number
  readonly durationMs: number
}

export interface UpstreamState {
  readonly server: string
  readonly reachable: boolean
  /** Why it is not. */
  readonly code: string | undefined
  readonly message: string | undefined
}

export interface UpstreamEra {
  readonly server: string
  /** Versions of the modern era; absent if it speaks none. */
  readonly modern: readonly string[] | undefined
  /** Versions of the legacy era; a server of the modern era is not asked until a legacy client comes, and may refuse then. */
  readonly legacy: readonly string[] | 'untried' | 'refused'
  readonly transport: 'stdio' | 'streamable-http' | 'sse'
  /** It was asked before and said something else. */
  readonly changed: boolean
}

export interface UpstreamBreaker {
  readonly server: string
  readonly state: 'closed' | 'open' | 'half-open'
  /** Code of the error that opened it. */
  readonly code: string | undefined
}

export interface UpstreamProcess {
  readonly server: string
  readonly pid: number | undefined
}

export interface UpstreamProcessExit {
  readonly process: UpstreamProcess
  readonly exitCode: number | null
  readonly signal: string | null
  /** The gateway had told it to stop. */
  readonly expected: boolean
  readonly uptimeMs: number
}

import type { Principal } from './principal.ts'

/**
 * The two families of MCP revisions: `legacy` opens a session with `initialize` (2024-11-05 to
 * 2025-11-25), `modern` carries version and capabilities in each request (2026-07-28 and later).
 */
export type ProtocolEra = 'legacy' | 'modern'

/** Distributed trace context as received (W3C Trace Context, W3C Baggage, MCP SEP-414). */
export interface TraceContext {
  readonly traceparent: string
  readonly tracestate?: string
  readonly baggage?: string
}

/** What is known of one message on its way through the gateway. */
export interface RequestContext {
  readonly principal: Principal
  readonly era: ProtocolEra
  /** The protocol revision in use, such as `2025-11-25`. */
  readonly protocolVersion: string
  /** Name of the one server whose own path was called, or `toolsets/<name>`; absent on the aggregated endpoint. */
  readonly endpoint?: string | undefined
  /** The gateway's session with the client; legacy era only. */
  readonly sessionId?: string | undefined
  readonly remoteAddress?: string | undefined
  readonly trace?: TraceContext | undefined
}

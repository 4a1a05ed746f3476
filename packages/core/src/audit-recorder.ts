import type { Principal } from './principal.ts'
import type { ProtocolEra, TraceContext } from './request-context.ts'

/** One message that is about to be carried, or refused. */
export interface CallIntent {
  /** When the gateway took it in, in milliseconds since the epoch. */
  readonly at: number
  /** Who sent it: the AI client or the MCP server. */
  readonly from: 'client' | 'server'
  readonly kind: 'request' | 'notification' | 'response' | 'invalid'
  /** Absent when the message was refused before the caller was known. */
  readonly principal?: Principal | undefined
  readonly era?: ProtocolEra | undefined
  readonly sessionId?: string | undefined
  readonly remoteAddress?: string | undefined
  /** The server whose own path was called, or `toolsets/<name>`; absent on the aggregated endpoint. */
  readonly endpoint?: string | undefined
  /** The MCP server that the message goes to or comes from, once the route is known. */
  readonly server?: string | undefined
  /** JSON-RPC method; absent for responses and for what could not be read. */
  readonly method?: string | undefined
  /** Name of the tool or prompt, or the resource URI, as the MCP server knows it. */
  readonly target?: string | undefined
  /** JSON-RPC id as the client wrote it. */
  readonly requestId?: string | number | undefined
  /** Size of the message in bytes. */
  readonly bytes: number
  readonly trace?: TraceContext | undefined
}

/** How it ended. */
export interface CallOutcome {
  /**
   * - `ok`: answered with a result, or a notification that was passed on
   * - `tool-error`: the result says `isError`
   * - `error`: the server answered with a JSON-RPC error
   * - `refused`: the gateway did not pass it on
   * - `failed`: the server could not be reached or broke off
   * - `cancelled`: the client withdrew it
   */
  readonly status: 'ok' | 'tool-error' | 'error' | 'refused' | 'failed' | 'cancelled'
  /** JSON-RPC error code, or one of our own `ERR_…` codes. */
  readonly code?: number | string | undefined
  /** From taking the message in to the last byte of the answer. */
  readonly durationMs: number
  /** Size of the answer in bytes. */
  readonly bytes: number
}

/** The second half of an audit entry. `end` is called exactly once. */
export interface AuditTicket {
  end(outcome: CallOutcome): void | Promise<void>
}

/**
 * Records what is carried. `begin` is called before a message goes on, `end` of its ticket after the outcome is known.
 *
 * A promise returned by `begin` makes a client's request wait; its rejection, or a throw, refuses the request with
 * `ERR_AUDIT_UNAVAILABLE`: what cannot be recorded does not happen. Notifications and what servers send are
 * recorded without waiting. A failing `end` cannot undo the call; it is reported to the gateway's logger.
 */
export interface AuditRecorder {
  begin(intent: CallIntent): AuditTicket | Promise<AuditTicket>
}

import type { RequestContext, SallyportError } from '@sallyport/core'
import type { Call } from '../call/call.ts'
import type { MessageScan } from '../wire/scan-message.ts'

/** One session with one server of the legacy era, whatever carries it. */
export interface LegacyTransport {
  /** The server can say something unasked before {@link listen} was called. */
  readonly speaksUnasked: boolean
  /** Sends `initialize`. Everything else waits until its answer was positive. */
  initialize(call: Call): void
  send(call: Call): void
  /** Tells the server that the answer is not wanted any more. Does nothing for a call that is over. */
  cancel(call: Call, reason: string | undefined): void
  notify(message: Buffer): void
  /** A client's answer to a request of the server. */
  respond(message: Buffer): void
  /** Someone is there to take what the server says unasked (Streamable HTTP: opens the GET stream). Idempotent. */
  listen(): void
  /** @param keepSession another process goes on with the server's session, so it is not ended */
  close(keepSession?: boolean): void
}

/** Whose credentials requests without a call of their own carry: tokens are renewed, so it is asked each time. */
export interface Caller {
  /** Of the newest request. */
  readonly context: RequestContext
}

export interface LegacyTransportOwner {
  /** A notification or request of the server; `call` is the one it came with, where the transport can tell. */
  fromServer(message: Buffer, scan: MessageScan, call: Call | undefined): void
  /** The server gave this session an id (Streamable HTTP). */
  sessionOpened(id: string): void
  /** The server forgot the session: open a new one, then send `call` again; it has not run. */
  sessionLost(call: Call | undefined): void
  /** The server asked something although it was told that there is nobody to ask; it has been answered with an error. */
  refused(message: Buffer, scan: MessageScan, call: Call | undefined): void
  /** Nothing can be sent any more; open calls have failed already. */
  closed(error: SallyportError): void
}

/** An owner whose methods can be spread into another. */
export function methodsOf(owner: LegacyTransportOwner): LegacyTransportOwner {
  return {
    fromServer: (message, scan, call) => owner.fromServer(message, scan, call),
    sessionOpened: (id) => owner.sessionOpened(id),
    sessionLost: (call) => owner.sessionLost(call),
    refused: (message, scan, call) => owner.refused(message, scan, call),
    closed: (error) => owner.closed(error),
  }
}

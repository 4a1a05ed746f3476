import type { Challenge } from '@sallyport/core'

/** Where the answer to one client request goes: an HTTP response, a line on standard output, a slot in a batch. */
export interface Reply {
  /** A notification, or a server's own request, that belongs to the call. */
  interim(message: Buffer): void
  /** The JSON-RPC response; the call is over. `status` is used where the answer has an HTTP status of its own. */
  final(response: Buffer, status: number): void
  /** The call is over and nothing is sent for it, as after a cancellation. */
  abandon(): void
  /** The server let go of the stream and will go on later: the client may do the same (2025-11-25 transports, SSE polling). */
  pause(retryMs: number | undefined): void
  /** Headers for the answer, if it has any. Called before anything is sent. */
  annotate(headers: Readonly<Record<string, string>>): void
  /** What the client has to bring to be let in, for the headers of the answer. Called before anything is sent. */
  challenge(challenge: Challenge): void
}

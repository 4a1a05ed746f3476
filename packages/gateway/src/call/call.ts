import type { RequestContext, SallyportError } from '@sallyport/core'
import type { MessageScan } from '../wire/scan-message.ts'
import type { Edit } from '../wire/splice.ts'

/** A request on its way to one MCP server, as the links to servers see it. */
export interface Call {
  readonly context: RequestContext
  readonly method: string
  /** The message as the caller wrote it. */
  readonly bytes: Buffer
  readonly scan: MessageScan
  /** What has to be replaced in it before this server gets it; links add the ids of their own. */
  readonly edits: readonly Edit[]
  /** The `id` as the caller spelled it. */
  readonly idText: Uint8Array
  /** Name and value, in turn, of headers that an HTTP server gets with it. */
  readonly headers: readonly string[]
  /** Nobody has written the `Mcp-Param-*` headers yet that an HTTP server of the modern era may expect. */
  readonly lacksParamHeaders?: boolean
  interim(message: Buffer, scan: MessageScan): void
  /** `response` carries the caller's id. */
  final(response: Buffer, scan: MessageScan, status: number): void
  fail(error: SallyportError): void
  pause(retryMs: number | undefined): void
}

/**
 * What carries calls to one server.
 *
 * Like everything that is remembered per call, carriers are objects with methods: V8 moves a closure that is stored in
 * a property, and all that it holds, to the old generation at once, which doubled the gateway's garbage collection.
 */
export interface Carrier {
  send(call: Call): void
  /** The caller does not want the answer any more. Does nothing for a call that is over. */
  cancel(call: Call, reason: string | undefined): void
}

/** Finds the carrier when a call is sent: what was found before may have ended meanwhile. */
export interface CarrierSource {
  carrierFor(call: Call): Carrier
}

import type { Principal } from '@sallyport/core'

/** One HTTP request and its answer, as far as the gateway needs it: the seam between Node's server and `fetch` handlers. */
export interface HttpExchange {
  readonly method: string
  /** Path without query. */
  readonly path: string
  readonly hasQuery: boolean
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly remoteAddress: string | undefined
  /** True if the request came over TLS. */
  readonly secure: boolean
  /** Sum of the header names and values in bytes. */
  readonly headerBytes: number
  /** Who calls; what waits for a slow reader is counted under this name. */
  principal: Principal | undefined
  /** Called when the client goes away before the answer is complete. */
  client: { gone(): void } | undefined
  /** Reads the whole body, once. */
  readBody(limitBytes: number, reader: BodyReader): void
  respond(status: number, headers: Readonly<Record<string, string>>, body?: Uint8Array | string): void
  stream(status: number, headers: Readonly<Record<string, string>>): ByteStream
}

export interface BodyReader {
  body(body: Buffer | BodyFault): void
}

export type BodyFault =
  | { readonly fault: 'too-large' }
  | { readonly fault: 'gone' }
  /** Somebody else has read the body and left nothing that can be used. */
  | { readonly fault: 'consumed' }

export interface ByteStream {
  write(chunk: Uint8Array): void
  end(): void
  /** Ends it at once; what the client has not taken is thrown away. */
  cut(): void
  /** Bytes that the client has not taken yet. */
  readonly bufferedBytes: number
}

export function headerOf(exchange: HttpExchange, name: string): string | undefined {
  const value = exchange.headers[name]
  return typeof value === 'string' ? value : value?.join(', ')
}

/** The usual answer has these and no others: shared, not copied. */
export const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({})
export const JSON_TYPE: Readonly<Record<string, string>> = Object.freeze({
  'content-type': 'application/json',
})

import type { BodyFault, BodyReader, ByteStream, HttpExchange } from './http-exchange.ts'
import type { HttpFront } from './http-front.ts'

/** What a `Request` does not tell. */
export interface FetchInfo {
  /** Address of the peer. Without it, nobody counts as being on this machine. */
  readonly remoteAddress?: string
}

/** Nothing is held back below this; what is queued beyond it counts as waiting for the client. */
const HIGH_WATER_BYTES = 64 * 1024

export function createFetchHandler(
  front: HttpFront,
): (request: Request, info?: FetchInfo) => Promise<Response> {
  return (request, info) =>
    new Promise((resolve) => {
      front.handle(new FetchExchange(request, info, resolve))
    })
}

class FetchExchange implements HttpExchange {
  readonly method: string
  readonly path: string
  readonly hasQuery: boolean
  readonly headers: Readonly<Record<string, string>>
  readonly remoteAddress: string | undefined
  readonly secure: boolean
  readonly headerBytes: number
  client: { gone(): void } | undefined
  readonly #request: Request
  readonly #resolve: (response: Response) => void

  constructor(request: Request, info: FetchInfo | undefined, resolve: (response: Response) => void) {
    const url = new URL(request.url)
    this.#request = request
    this.#resolve = resolve
    this.method = request.method
    this.path = url.pathname
    this.hasQuery = url.search !== ''
    // some servers leave `Host` out of the headers, because it is in the URL
    this.headers = { host: url.host, ...Object.fromEntries(request.headers) }
    this.remoteAddress = info?.remoteAddress
    this.secure = url.protocol === 'https:'
    this.headerBytes = [...request.headers].reduce(
      (sum, [name, value]) => sum + name.length + value.length,
      0,
    )
    request.signal.addEventListener('abort', () => this.client?.gone(), { once: true })
  }

  readBody(limitBytes: number, reader: BodyReader): void {
    const request = this.#request
    if (request.bodyUsed) {
      reader.body({ fault: 'consumed' })
      return
    }
    if (Number(request.headers.get('content-length') ?? 0) > limitBytes) {
      reader.body({ fault: 'too-large' })
      return
    }
    void collect(request.body, limitBytes).then(
      (body) => reader.body(body),
      () => {
        reader.body({ fault: 'gone' })
        // nobody may be there to read it, but whoever called this function waits for an answer
        this.respond(400, {})
      },
    )
  }

  respond(status: number, headers: Readonly<Record<string, string>>, body?: Uint8Array | string): void {
    const noBody = status === 204 || status === 202 || body === undefined
    const bytes = typeof body === 'string' ? body : body === undefined ? null : new Uint8Array(body)
    this.#resolve(new Response(noBody ? null : bytes, { status, headers: { ...headers } }))
  }

  stream(status: number, headers: Readonly<Record<string, string>>): ByteStream {
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined
    let closed = false
    const body = new ReadableStream<Uint8Array>(
      {
        start: (started) => {
          controller = started
        },
        cancel: () => {
          closed = true
          this.client?.gone()
        },
      },
      { highWaterMark: HIGH_WATER_BYTES, size: ({ byteLength }) => byteLength },
    )
    this.#resolve(new Response(body, { status, headers: { ...headers } }))
    return {
      write(chunk) {
        if (!closed) controller?.enqueue(new Uint8Array(chunk))
      },
      end() {
        if (closed) return
        closed = true
        controller?.close()
      },
      cut() {
        if (closed) return
        closed = true
        controller?.error(new Error('the gateway has cut this stream'))
      },
      get bufferedBytes() {
        return closed ? 0 : Math.max(0, HIGH_WATER_BYTES - (controller?.desiredSize ?? HIGH_WATER_BYTES))
      },
    }
  }
}

async function collect(
  body: ReadableStream<Uint8Array> | null,
  limitBytes: number,
): Promise<Buffer | BodyFault> {
  if (body === null) return Buffer.alloc(0)
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > limitBytes) return { fault: 'too-large' }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

import type { Principal } from '@sallyport/core'
import type { BodyFault, BodyReader, ByteStream, HttpExchange } from './http-exchange.ts'
import type { HttpFront } from './http-front.ts'
import { PIECE_BYTES } from './paced-writer.ts'
import type { SlowClient, SlowClients } from './slow-clients.ts'

/** What a `Request` does not tell. */
export interface FetchInfo {
  /** Address of the peer. Without it, nobody counts as being on this machine. */
  readonly remoteAddress?: string | undefined
}

/** Nothing is held back below this; what is queued beyond it counts as waiting for the client. */
const HIGH_WATER_BYTES = 64 * 1024

export function createFetchHandler(
  front: HttpFront,
  slowClients: SlowClients,
): (request: Request, info?: FetchInfo) => Promise<Response> {
  return (request, info) =>
    new Promise((resolve) => {
      front.handle(new FetchExchange(request, info, resolve, slowClients))
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
  principal: Principal | undefined
  client: { gone(): void } | undefined
  readonly #request: Request
  readonly #resolve: (response: Response) => void
  readonly #slowClients: SlowClients

  constructor(
    request: Request,
    info: FetchInfo | undefined,
    resolve: (response: Response) => void,
    slowClients: SlowClients,
  ) {
    this.#slowClients = slowClients
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
    if (typeof body !== 'string' && body !== undefined && body.length > PIECE_BYTES) {
      const stream = this.#stream()
      this.#resolve(
        new Response(stream.body, {
          status,
          headers: { ...headers, 'content-length': String(body.length) },
        }),
      )
      stream.write(body)
      stream.end()
      return
    }
    const noBody = status === 204 || status === 202 || body === undefined
    const bytes = typeof body === 'string' ? body : body === undefined ? null : new Uint8Array(body)
    this.#resolve(new Response(noBody ? null : bytes, { status, headers: { ...headers } }))
  }

  stream(status: number, headers: Readonly<Record<string, string>>): ByteStream {
    const stream = this.#stream()
    this.#resolve(new Response(stream.body, { status, headers: { ...headers } }))
    return stream
  }

  #stream(): FetchStream {
    return new FetchStream(this.#slowClients, this.principal, () => this.client?.gone())
  }
}

/** The body of an answer while it comes to be. What it holds beyond the first piece counts as waiting for the client. */
class FetchStream implements ByteStream, SlowClient {
  readonly body: ReadableStream<Uint8Array>
  readonly principal: Principal | undefined
  readonly #slowClients: SlowClients
  readonly #gone: () => void
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #writtenBytes = 0
  #ending = false
  #closed = false

  constructor(slowClients: SlowClients, principal: Principal | undefined, gone: () => void) {
    this.#slowClients = slowClients
    this.principal = principal
    this.#gone = gone
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => this.#pull(),
        cancel: () => {
          this.#close()
          this.#gone()
        },
      },
      { highWaterMark: HIGH_WATER_BYTES, size: ({ byteLength }) => byteLength },
    )
  }

  get bufferedBytes(): number {
    return this.waitingBytes
  }

  get waitingBytes(): number {
    if (this.#closed) return 0
    return this.#queuedBytes + Math.max(0, HIGH_WATER_BYTES - this.#room)
  }

  get takenBytes(): number {
    return this.#writtenBytes - this.waitingBytes
  }

  write(chunk: Uint8Array): void {
    if (this.#closed || this.#ending) return
    for (let at = 0; at < chunk.length; at += PIECE_BYTES)
      this.#queue.push(chunk.subarray(at, at + PIECE_BYTES))
    this.#queuedBytes += chunk.length
    this.#writtenBytes += chunk.length
    this.#flush()
    if (this.#queuedBytes > 0) this.#slowClients.update(this)
  }

  end(): void {
    this.#ending = true
    this.#flush()
  }

  cut(): void {
    if (this.#closed) return
    this.#controller?.error(new Error('the gateway has cut this stream'))
    this.#close()
  }

  destroy(): void {
    this.cut()
    this.#gone()
  }

  get #room(): number {
    return this.#controller?.desiredSize ?? 0
  }

  /** Whoever reads the body has taken a part of it. */
  #pull(): void {
    this.#flush()
    if (!this.#closed) this.#slowClients.update(this)
  }

  #flush(): void {
    while (!this.#closed && this.#room > 0) {
      const next = this.#queue.shift()
      if (next === undefined) break
      this.#queuedBytes -= next.length
      this.#controller?.enqueue(new Uint8Array(next))
    }
    if (!this.#ending || this.#closed || this.#queue.length > 0) return
    this.#controller?.close()
    this.#close()
  }

  #close(): void {
    this.#closed = true
    this.#queue = []
    this.#queuedBytes = 0
    this.#slowClients.remove(this)
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

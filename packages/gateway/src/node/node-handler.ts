import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Gateway } from '../gateway.ts'
import { atEndOfTurn, type Write } from '../end-of-turn.ts'
import { partsOf } from '../gateway.ts'
import type { Principal } from '@sallyport/core'
import type { BodyFault, BodyReader, ByteStream, HttpExchange } from '../front/http-exchange.ts'
import { PacedWriter, PIECE_BYTES } from '../front/paced-writer.ts'
import type { SlowClients } from '../front/slow-clients.ts'

/**
 * A request listener for `http.createServer`, and a handler for Express and Connect. This is the fast way in: no
 * `Request`, no `Response`, no web streams.
 *
 * A body that a middleware has already parsed (`express.json()`) is taken over, but then numbers and member order are as
 * JavaScript writes them; mount the gateway before body parsers to pass bytes on as they came.
 */
export function nodeHandler(gateway: Gateway): (request: IncomingMessage, response: ServerResponse) => void {
  const { front, core } = partsOf(gateway)
  const { slowClients } = core
  return (request, response) => front.handle(new NodeExchange(request, response, slowClients))
}

const ignore = () => {}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | string
}

/** Up to here, copying an answer is cheaper than a second buffer in the write. */
const JOINED_BYTES = 8 * 1024

/** Reading goes on for this long after a refusal, so that the client gets to see the answer. */
const DRAIN_MS = 30_000

export class NodeExchange implements HttpExchange, Write {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #slowClients: SlowClients
  #writer: PacedWriter | undefined
  principal: Principal | undefined
  readonly path: string
  readonly hasQuery: boolean
  client: { gone(): void } | undefined
  #complete = false
  #reader: BodyReader | undefined
  #chunks: Buffer[] = []
  #bodyBytes = 0
  #answer: Answer | undefined

  constructor(request: IncomingMessage, response: ServerResponse, slowClients: SlowClients) {
    this.#request = request
    this.#response = response
    this.#slowClients = slowClients
    // Express shortens `url` below a mount point; the gateway's paths are those that clients see
    const url =
      'originalUrl' in request && typeof request.originalUrl === 'string' ? request.originalUrl : request.url
    const target = url ?? '/'
    const query = target.indexOf('?')
    this.hasQuery = query >= 0
    this.path = query < 0 ? target : target.slice(0, query)
    response.on('close', () => {
      this.#writer?.closed()
      this.#body({ fault: 'gone' })
      if (!this.#complete) this.client?.gone()
    })
    response.on('error', ignore)
  }

  get method(): string {
    return this.#request.method ?? 'GET'
  }

  get headers(): HttpExchange['headers'] {
    return this.#request.headers
  }

  get remoteAddress(): string | undefined {
    return this.#request.socket.remoteAddress
  }

  get secure(): boolean {
    return 'encrypted' in this.#request.socket
  }

  get headerBytes(): number {
    let bytes = 0
    for (const part of this.#request.rawHeaders) bytes += part.length
    return bytes
  }

  readBody(limitBytes: number, reader: BodyReader): void {
    const request = this.#request
    if (request.readableEnded || request.readableDidRead) {
      const parsed = parsedBody(request)
      if (parsed === undefined) reader.body({ fault: 'consumed' })
      else reader.body(parsed.length > limitBytes ? { fault: 'too-large' } : parsed)
      return
    }
    if (Number(request.headers['content-length'] ?? 0) > limitBytes) {
      this.#drain()
      reader.body({ fault: 'too-large' })
      return
    }
    this.#reader = reader
    request.on('data', (chunk: Buffer) => {
      this.#bodyBytes += chunk.length
      if (this.#bodyBytes <= limitBytes) this.#chunks.push(chunk)
      else if (this.#reader !== undefined) {
        this.#drain()
        this.#body({ fault: 'too-large' })
      }
    })
    request.on('end', () => {
      const [first] = this.#chunks
      this.#body(this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks))
    })
  }

  #body(body: Buffer | BodyFault): void {
    const reader = this.#reader
    this.#reader = undefined
    this.#chunks = []
    reader?.body(body)
  }

  respond(status: number, headers: Readonly<Record<string, string>>, body: Uint8Array | string = ''): void {
    this.#complete = true
    this.#answer = { status, headers, body }
    // a refusal does not wait for a body that nobody reads
    if (this.#request.complete) atEndOfTurn(this)
    else this.run()
  }

  /** Sends the answer. */
  run(): void {
    const answer = this.#answer
    this.#answer = undefined
    const response = this.#response
    if (answer === undefined || response.headersSent || response.destroyed) return
    const { status, headers, body } = answer
    try {
      response.writeHead(status, headList(headers, Buffer.byteLength(body)))
    } catch {
      // a header that cannot be sent
      response.destroy()
      return
    }
    if (typeof body !== 'string' && body.length > PIECE_BYTES) {
      const writer = this.#pacedWriter()
      writer.write(body)
      writer.end()
      return
    }
    // Node joins the head and a string into one write; the bytes are the same
    if (Buffer.isBuffer(body) && body.length <= JOINED_BYTES) response.end(body.toString('latin1'), 'latin1')
    else response.end(body)
    // what the connection took at once costs nothing more than this look
    if (response.writableLength > 0) this.#pacedWriter().watch()
  }

  stream(status: number, headers: Readonly<Record<string, string>>): ByteStream {
    const response = this.#response
    response.writeHead(status, headers)
    response.flushHeaders()
    const writer = this.#pacedWriter()
    return {
      write: (chunk) => writer.write(chunk),
      end: () => {
        this.#complete = true
        writer.end()
      },
      cut: () => {
        this.#complete = true
        response.destroy()
      },
      get bufferedBytes() {
        return writer.waitingBytes
      },
    }
  }

  #pacedWriter(): PacedWriter {
    this.#writer ??= new PacedWriter(this.#response, this.#slowClients, this.principal)
    return this.#writer
  }

  #drain(): void {
    const { socket } = this.#request
    this.#request.resume()
    const timer = setTimeout(() => socket.destroy(), DRAIN_MS)
    timer.unref()
    this.#request.once('close', () => clearTimeout(timer))
    this.#request.once('end', () => clearTimeout(timer))
  }
}

/** Name and value in turn, which Node writes as they are. */
function headList(headers: Readonly<Record<string, string>>, length: number): string[] {
  const list: string[] = []
  for (const name in headers) list.push(name, headers[name] ?? '')
  list.push('content-length', String(length))
  return list
}

function parsedBody(request: IncomingMessage): Buffer | undefined {
  if (!('body' in request)) return undefined
  const { body } = request
  if (Buffer.isBuffer(body)) return body
  if (typeof body === 'string') return Buffer.from(body)
  return typeof body === 'object' && body !== null ? Buffer.from(JSON.stringify(body)) : undefined
}

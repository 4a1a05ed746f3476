export interface HttpResponse {
  status: number
  /** Header names in lower case. A repeated header keeps its last value. */
  headers: ReadonlyMap<string, string>
  /** Only valid while the callback runs: it may be a view on the buffer the socket reads into next. */
  body: Buffer
}

export interface ResponseReaderOptions {
  onResponse(response: HttpResponse): void
  /** Given for a response that does not end (an event stream): its body goes here, piece by piece. */
  onStreamChunk?: (chunk: Buffer, status: number, headers: ReadonlyMap<string, string>) => void
}

type Phase = 'head' | 'length' | 'chunk-size' | 'chunk-data' | 'chunk-end' | 'trailer' | 'until-close'

interface Head {
  status: number
  headers: ReadonlyMap<string, string>
  /** Bytes of the body, or how its end is found. */
  framing: number | 'chunked' | 'until-close'
}

const empty = Buffer.alloc(0)
const headEnd = Buffer.from('\r\n\r\n')
const lineEnd = Buffer.from('\r\n')
const maximumHeadBytes = 64 * 1024

/**
 * Reads HTTP/1.1 responses from the pieces a socket delivers (RFC 9112). It does only what a load generator needs,
 * because whatever the generator spends is taken from the process under test: no upgrade, no 1xx, no trailers kept.
 * A server repeats its response head byte for byte within a second, so a head is parsed only when it changed.
 */
export class ResponseReader {
  readonly #options: ResponseReaderOptions
  #phase: Phase = 'head'
  #carry: Buffer = empty
  #headText = ''
  #head: Head = { status: 0, headers: new Map(), framing: 0 }
  #remaining = 0
  #parts: Buffer[] = []

  constructor(options: ResponseReaderOptions) {
    this.#options = options
  }

  /** Throws on bytes that are not an HTTP/1.1 response; the connection is of no use after that. */
  push(chunk: Buffer): void {
    let data = chunk
    if (this.#carry.length > 0) {
      data = Buffer.concat([this.#carry, chunk])
      this.#carry = empty
    }
    let at = 0
    while (at < data.length) {
      const next = this.#step(data, at)
      if (next === undefined) {
        // The socket reuses the buffer under `data`, so what waits for its other half is copied out.
        this.#carry = Buffer.from(data.subarray(at))
        if (this.#carry.length > maximumHeadBytes) throw new Error('response head or chunk line too long')
        return
      }
      at = next
    }
  }

  /** Whether the response being read has no other end than that of the connection. */
  get endsAtClose(): boolean {
    return this.#phase === 'until-close'
  }

  /** The peer closed the connection: reports the response that ends with it. */
  end(): void {
    if (this.endsAtClose) this.#emit(Buffer.concat(this.#parts))
  }

  /** Consumes what it can and returns the next offset; undefined when more bytes are needed. */
  #step(data: Buffer, at: number): number | undefined {
    switch (this.#phase) {
      case 'head':
        return this.#readHead(data, at)
      case 'length': {
        const end = at + this.#remaining
        if (this.#parts.length === 0 && end <= data.length && !this.#options.onStreamChunk) {
          this.#emit(data.subarray(at, end))
          return end
        }
        const taken = this.#takeBody(data, at)
        if (this.#remaining === 0) this.#emit(Buffer.concat(this.#parts))
        return taken
      }
      case 'chunk-size': {
        const end = data.indexOf(lineEnd, at)
        if (end < 0) return undefined
        this.#remaining = Number.parseInt(data.toString('latin1', at, end), 16)
        if (!(this.#remaining >= 0)) throw new Error('chunk size is not a number')
        this.#phase = this.#remaining === 0 ? 'trailer' : 'chunk-data'
        return end + 2
      }
      case 'chunk-data': {
        const taken = this.#takeBody(data, at)
        if (this.#remaining === 0) this.#phase = 'chunk-end'
        return taken
      }
      case 'chunk-end':
        if (data.length - at < 2) return undefined
        this.#phase = 'chunk-size'
        return at + 2
      case 'trailer': {
        const end = data.indexOf(lineEnd, at)
        if (end < 0) return undefined
        if (end === at)
          this.#emit(this.#parts.length === 1 ? (this.#parts[0] ?? empty) : Buffer.concat(this.#parts))
        return end + 2
      }
      case 'until-close':
        this.#remaining = data.length - at
        return this.#takeBody(data, at)
    }
  }

  #readHead(data: Buffer, at: number): number | undefined {
    const end = data.indexOf(headEnd, at)
    if (end < 0) return undefined
    const text = data.toString('latin1', at, end)
    if (text !== this.#headText) {
      this.#head = parseHead(text)
      this.#headText = text
    }
    const { framing } = this.#head
    if (framing === 'chunked') this.#phase = 'chunk-size'
    else if (framing === 'until-close') this.#phase = 'until-close'
    else if (framing === 0) this.#emit(empty)
    else {
      this.#phase = 'length'
      this.#remaining = framing
    }
    return end + 4
  }

  #takeBody(data: Buffer, at: number): number {
    const end = Math.min(data.length, at + this.#remaining)
    const piece = Buffer.from(data.subarray(at, end))
    this.#remaining -= end - at
    if (this.#options.onStreamChunk) this.#options.onStreamChunk(piece, this.#head.status, this.#head.headers)
    else this.#parts.push(piece)
    return end
  }

  #emit(body: Buffer): void {
    this.#phase = 'head'
    this.#parts = []
    this.#options.onResponse({ status: this.#head.status, headers: this.#head.headers, body })
  }
}

function parseHead(text: string): Head {
  const lines = text.split('\r\n')
  const status = /^HTTP\/1\.1 (\d{3})/.exec(lines[0] ?? '')?.[1]
  if (status === undefined || status.startsWith('1'))
    throw new Error(`not a final HTTP/1.1 response: ${lines[0]}`)
  const headers = new Map<string, string>()
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(':')
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
  }
  return { status: Number(status), headers, framing: framingOf(Number(status), headers) }
}

function framingOf(status: number, headers: ReadonlyMap<string, string>): Head['framing'] {
  if (status === 204 || status === 304) return 0
  if (headers.get('transfer-encoding')?.toLowerCase().includes('chunked')) return 'chunked'
  const length = headers.get('content-length')
  if (length === undefined) return 'until-close'
  if (!/^\d+$/.test(length)) throw new Error(`content-length is not a number: ${length}`)
  return Number(length)
}

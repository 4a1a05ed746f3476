/** One event of a server-sent event stream (WHATWG HTML, "Server-sent events"). */
export interface SseEvent {
  /** Default `message`. */
  readonly type: string
  /** The `data` lines, joined with line feeds; empty if there were none. */
  readonly data: Buffer
  /** Only if this event carries one. */
  readonly id: string | undefined
  /** Reconnection time in milliseconds, only if this event carries one. */
  readonly retryMs: number | undefined
}

const LINE_FEED = 10
const CARRIAGE_RETURN = 13

/**
 * Cuts a byte stream into events. Works on bytes: `data` may be large, and is passed on, not read.
 * Throws a RangeError when one event grows past `maxEventBytes`.
 */
export class SseParser {
  readonly #onEvent: (event: SseEvent) => void
  readonly #maxEventBytes: number
  #rest: Buffer[] = []
  #restBytes = 0
  #data: Buffer[] = []
  #dataBytes = 0
  #type = ''
  #id: string | undefined
  #retryMs: number | undefined
  #started = false

  constructor(onEvent: (event: SseEvent) => void, maxEventBytes: number) {
    this.#onEvent = onEvent
    this.#maxEventBytes = maxEventBytes
  }

  push(chunk: Buffer): void {
    this.#restBytes += chunk.length
    if (this.#restBytes + this.#dataBytes > this.#maxEventBytes) {
      throw new RangeError(`an event is larger than ${this.#maxEventBytes} bytes`)
    }
    if (this.#rest.length > 0 && !chunk.includes(LINE_FEED) && !chunk.includes(CARRIAGE_RETURN)) {
      this.#rest.push(chunk)
      return
    }
    this.#lines(this.#rest.length === 0 ? chunk : Buffer.concat([...this.#rest, chunk]))
  }

  #lines(buffer: Buffer): void {
    let position = this.#started || !startsWithByteOrderMark(buffer) ? 0 : 3
    this.#started = true
    let carriage = buffer.indexOf(CARRIAGE_RETURN)
    for (;;) {
      const feed = buffer.indexOf(LINE_FEED, position)
      if (carriage >= 0 && carriage < position) carriage = buffer.indexOf(CARRIAGE_RETURN, position)
      const end = carriage >= 0 && (feed < 0 || carriage < feed) ? carriage : feed
      // a carriage return at the very end may be half of a CRLF: wait for the rest
      if (end < 0 || (end === carriage && end + 1 === buffer.length)) break
      const line = buffer.subarray(position, end)
      position = end === carriage && buffer[end + 1] === LINE_FEED ? end + 2 : end + 1
      this.#line(line)
    }
    const rest = buffer.subarray(position)
    this.#rest = rest.length === 0 ? [] : [rest]
    this.#restBytes = rest.length
  }

  #line(line: Buffer): void {
    if (line.length === 0) {
      this.#dispatch()
      return
    }
    const colon = line.indexOf(58)
    if (colon === 0) return
    const field = (colon < 0 ? line : line.subarray(0, colon)).toString('latin1')
    let value = colon < 0 ? line.subarray(line.length) : line.subarray(colon + 1)
    if (value[0] === 32) value = value.subarray(1)
    if (field === 'data') {
      this.#data.push(value)
      this.#dataBytes += value.length
    } else if (field === 'event') this.#type = value.toString()
    else if (field === 'id') {
      if (!value.includes(0)) this.#id = value.toString()
    } else if (field === 'retry' && /^\d{1,9}$/.test(value.toString('latin1')))
      this.#retryMs = Number(value.toString('latin1'))
  }

  #dispatch(): void {
    const [first, ...others] = this.#data
    if (first !== undefined || this.#id !== undefined || this.#retryMs !== undefined) {
      const data =
        first === undefined
          ? Buffer.alloc(0)
          : others.length === 0
            ? first
            : Buffer.concat([first, ...others.flatMap((line) => [Buffer.from('\n'), line])])
      this.#onEvent({
        type: this.#type === '' ? 'message' : this.#type,
        data,
        id: this.#id,
        retryMs: this.#retryMs,
      })
    }
    this.#data = []
    this.#dataBytes = 0
    this.#type = ''
    this.#id = undefined
    this.#retryMs = undefined
  }
}

function startsWithByteOrderMark(buffer: Buffer): boolean {
  return buffer[0] === 0xef && buffer[1] === 0xbb && buffer[2] === 0xbf
}

/** An event as bytes. `data` must hold no line break, as JSON on one line does. */
export function sseEvent(data: Buffer, id?: string): Buffer {
  const head = id === undefined ? 'event: message\ndata: ' : `event: message\nid: ${id}\ndata: `
  const oneLine = data.includes(LINE_FEED) || data.includes(CARRIAGE_RETURN) ? joinLines(data) : data
  return Buffer.concat([Buffer.from(head), oneLine, Buffer.from('\n\n')])
}

/** In JSON a line break can only stand between tokens, where a blank means the same. */
function joinLines(data: Buffer): Buffer {
  return Buffer.from(data.toString('latin1').replaceAll(/[\r\n]/g, ' '), 'latin1')
}

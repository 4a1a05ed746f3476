import { onOneLine } from './json-rpc.ts'

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
const SPACE = 32
const COLON = 58
const DATA = Buffer.from('data')
const EVENT = Buffer.from('event')
const ID = Buffer.from('id')
const RETRY = Buffer.from('retry')
const CARRIAGE_RETURN = 13
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf])
const EMPTY = Buffer.alloc(0)
/** A message stands on one line, or on as many as its pretty-printed form has; a line costs more memory than its bytes. */
const MAX_LINES = 100_000
/** What a line may hold beside its value. */
const LONGEST_FIELD = 'data: '.length

/**
 * Cuts a byte stream into events. Works on bytes: `data` may be large, and is passed on, not read.
 * Throws a RangeError when the data of one event, or one line, grows past `maxEventBytes`.
 */
export class SseParser {
  readonly #onEvent: (event: SseEvent) => void
  readonly #maxEventBytes: number
  /** Parts of a line that has not ended. */
  #rest: Buffer[] = []
  #restBytes = 0
  #data: Buffer[] = []
  /** Each line counts one more than it holds, so that lines without content are not free. */
  #dataBytes = 0
  #type = ''
  #id: string | undefined
  #retryMs: number | undefined
  #started = false
  /** The last line ended with a carriage return: a line feed that comes next belongs to it. */
  #afterCarriageReturn = false

  constructor(onEvent: (event: SseEvent) => void, maxEventBytes: number) {
    this.#onEvent = onEvent
    this.#maxEventBytes = maxEventBytes
  }

  /** Nothing of an event has come since the last one; comments do not count. */
  get isBetweenEvents(): boolean {
    return this.#restBytes === 0 && this.#data.length === 0
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return
    let next = chunk
    if (this.#afterCarriageReturn) {
      this.#afterCarriageReturn = false
      if (next[0] === LINE_FEED) next = next.subarray(1)
    }
    if (this.#rest.length > 0 && !next.includes(LINE_FEED) && !next.includes(CARRIAGE_RETURN)) {
      this.#keep(next)
      if (this.#started) return
      next = EMPTY
    }
    this.#lines(this.#rest.length === 0 ? next : Buffer.concat([...this.#rest, next]))
  }

  #lines(buffer: Buffer): void {
    this.#rest = []
    this.#restBytes = 0
    let position = 0
    if (!this.#started) {
      const mark = byteOrderMark(buffer)
      if (mark === 'unfinished') {
        this.#keep(buffer)
        return
      }
      this.#started = true
      position = mark
    }
    let carriage = buffer.indexOf(CARRIAGE_RETURN, position)
    for (;;) {
      const feed = buffer.indexOf(LINE_FEED, position)
      if (carriage >= 0 && carriage < position) carriage = buffer.indexOf(CARRIAGE_RETURN, position)
      const end = carriage >= 0 && (feed < 0 || carriage < feed) ? carriage : feed
      if (end < 0) break
      const start = position
      position = end + 1
      if (end === carriage) {
        if (position === buffer.length) this.#afterCarriageReturn = true
        else if (buffer[position] === LINE_FEED) position++
      }
      this.#line(buffer, start, end)
    }
    if (position < buffer.length) this.#keep(buffer.subarray(position))
  }

  #keep(part: Buffer): void {
    this.#rest.push(part)
    this.#restBytes += part.length
    this.#checkLine(this.#restBytes)
  }

  #checkLine(bytes: number): void {
    if (bytes > this.#maxEventBytes + LONGEST_FIELD) this.#tooLarge()
  }

  #tooLarge(): never {
    throw new RangeError(`an event is larger than ${this.#maxEventBytes} bytes`)
  }

  /** The line is `buffer[start, end)`; a view of its own is only made of what is kept. */
  #line(buffer: Buffer, start: number, end: number): void {
    this.#checkLine(end - start)
    if (start === end) {
      this.#dispatch()
      return
    }
    if (isField(buffer, start, end, DATA)) {
      const value = buffer.subarray(valueStart(buffer, start + DATA.length, end), end)
      this.#data.push(value)
      this.#dataBytes += value.length + 1
      if (this.#dataBytes > this.#maxEventBytes + 1 || this.#data.length > MAX_LINES) this.#tooLarge()
    } else if (isField(buffer, start, end, EVENT)) {
      this.#type = buffer.toString('utf8', valueStart(buffer, start + EVENT.length, end), end)
    } else if (isField(buffer, start, end, ID)) {
      const value = buffer.toString('utf8', valueStart(buffer, start + ID.length, end), end)
      if (!value.includes('\0')) this.#id = value
    } else if (isField(buffer, start, end, RETRY)) {
      const value = buffer.toString('latin1', valueStart(buffer, start + RETRY.length, end), end)
      if (/^\d{1,9}$/.test(value)) this.#retryMs = Number(value)
    }
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

/** A field's name ends at the colon, or with the line. */
function isField(buffer: Buffer, start: number, end: number, name: Buffer): boolean {
  const nameEnd = start + name.length
  if (nameEnd > end || (nameEnd < end && buffer[nameEnd] !== COLON)) return false
  for (let index = 0; index < name.length; index++) if (buffer[start + index] !== name[index]) return false
  return true
}

/** Behind the colon and one space. */
function valueStart(buffer: Buffer, nameEnd: number, end: number): number {
  if (nameEnd >= end) return end
  return buffer[nameEnd + 1] === SPACE && nameEnd + 1 < end ? nameEnd + 2 : nameEnd + 1
}

/** Length of the mark at the beginning of a stream; `unfinished` if that cannot be told yet. */
function byteOrderMark(buffer: Buffer): number | 'unfinished' {
  const same = BYTE_ORDER_MARK.subarray(0, buffer.length).equals(buffer.subarray(0, BYTE_ORDER_MARK.length))
  if (!same) return 0
  return buffer.length < BYTE_ORDER_MARK.length ? 'unfinished' : BYTE_ORDER_MARK.length
}

/** An event as bytes. `data` must hold no line break, as JSON on one line does. */
export function sseEvent(data: Buffer, id?: string): Buffer {
  const head = id === undefined ? 'event: message\ndata: ' : `event: message\nid: ${id}\ndata: `
  return Buffer.concat([Buffer.from(head), onOneLine(data), Buffer.from('\n\n')])
}

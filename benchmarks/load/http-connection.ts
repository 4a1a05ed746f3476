import { connect, type Socket } from 'node:net'
import { type HttpResponse, ResponseReader, type ResponseReaderOptions } from './response-reader.ts'

export type ResponseCallback = (error: Error | undefined, response: HttpResponse | undefined) => void

/**
 * One keep-alive connection with at most one request in flight: a whole request is one write, and the socket reads into
 * one buffer that is used again. When the server closes it, the next request opens a new one; a request that was in
 * flight then is an error and is not sent again, because a benchmark must not hide it.
 */
export class HttpConnection {
  readonly #host: string
  readonly #port: number
  readonly #onStreamChunk: ResponseReaderOptions['onStreamChunk']
  #socket: Socket | undefined
  #pending: ResponseCallback | undefined

  constructor(origin: URL, onStreamChunk?: ResponseReaderOptions['onStreamChunk']) {
    this.#host = origin.hostname
    this.#port = Number(origin.port)
    this.#onStreamChunk = onStreamChunk
  }

  send(request: string, callback: ResponseCallback): void {
    if (this.#pending) {
      setImmediate(callback, new Error('a request is still in flight on this connection'), undefined)
      return
    }
    this.#pending = callback
    this.#socket ??= this.#connect()
    this.#socket.write(request, 'utf8')
  }

  /** Closes it without a word to whoever waits for a response; the next request opens a new one. */
  abandon(): void {
    this.#pending = undefined
    this.close()
  }

  close(): void {
    this.#socket?.destroy()
    this.#socket = undefined
  }

  #connect(): Socket {
    const reader = new ResponseReader({
      onResponse: (response) => {
        if (response.headers.get('connection')?.toLowerCase() === 'close') {
          this.#socket = undefined
          socket.destroy()
        }
        this.#settle(undefined, response)
      },
      ...(this.#onStreamChunk && { onStreamChunk: this.#onStreamChunk }),
    })
    const fail = (error: Error) => {
      if (this.#socket !== socket) return
      this.#socket = undefined
      socket.destroy()
      this.#settle(error, undefined)
    }
    const buffer = Buffer.allocUnsafeSlow(64 * 1024)
    const socket = connect({
      host: this.#host,
      port: this.#port,
      noDelay: true,
      onread: {
        buffer,
        callback: (bytes) => {
          try {
            reader.push(buffer.subarray(0, bytes))
          } catch (error) {
            fail(error instanceof Error ? error : new Error(String(error)))
          }
          return true
        },
      },
    })
    socket.on('error', fail)
    socket.on('end', () => {
      if (!reader.endsAtClose) return fail(new Error('the server closed the connection'))
      this.#socket = undefined
      socket.destroy()
      reader.end()
    })
    socket.on('close', () => fail(new Error('the connection was lost')))
    return socket
  }

  #settle(error: Error | undefined, response: HttpResponse | undefined): void {
    const callback = this.#pending
    this.#pending = undefined
    callback?.(error, response)
  }
}

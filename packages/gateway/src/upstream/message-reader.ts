import { type SallyportError, UpstreamError } from '@sallyport/core'
import { type MessageScan, scanArray, scanMessage } from '../wire/scan-message.ts'
import { type SseEvent, SseParser } from '../wire/sse-parser.ts'
import { type HttpAnswer, type HttpHeaders, oneHeader } from './http-client.ts'

export interface MessageListener {
  /** The head has come; what it decides is up to the listener. */
  head?(status: number, headers: HttpHeaders): void
  /** A JSON-RPC message: the whole body, or one event. */
  message(bytes: Buffer, scan: MessageScan, status: number): void
  /** An event's id and reconnection time, before its message. */
  position?(event: SseEvent): void
  /** A complete answer without (further) messages; `body` is what was not JSON-RPC, shortened. */
  end(status: number, body: string): void
  fail(error: SallyportError): void
}

/** Reads the JSON-RPC messages out of an HTTP answer, whichever of the two forms the server chose. */
export function readMessages(server: string, maxBytes: number, listener: MessageListener): HttpAnswer {
  let status = 0
  let parser: SseParser | undefined
  let chunks: Buffer[] = []
  let bytes = 0
  let failed = false
  const fail = (message: string) => {
    if (failed) return
    failed = true
    chunks = []
    listener.fail(new UpstreamError('ERR_UPSTREAM_PROTOCOL', server, message))
  }
  const deliver = (data: Buffer) => {
    const text = data.toString('latin1')
    const scan = scanMessage(text)
    if (scan !== undefined) {
      listener.message(data, scan, status)
      return true
    }
    const elements = text.trimStart().startsWith('[') ? scanArray(text) : undefined
    for (const [start, end] of elements ?? []) deliver(data.subarray(start, end))
    return elements !== undefined
  }
  return {
    head(received, headers) {
      status = received
      listener.head?.(received, headers)
      if (oneHeader(headers, 'content-type')?.startsWith('text/event-stream')) {
        parser = new SseParser((event) => {
          listener.position?.(event)
          if (event.data.length > 0 && event.type === 'message') deliver(event.data)
        }, maxBytes)
      }
    },
    data(chunk) {
      if (failed) return
      if (parser !== undefined) {
        try {
          parser.push(chunk)
        } catch (error) {
          if (!(error instanceof RangeError)) throw error
          fail(error.message)
        }
        return
      }
      bytes += chunk.length
      if (bytes > maxBytes) fail(`the answer is larger than ${maxBytes} bytes`)
      else chunks.push(chunk)
    },
    end() {
      if (failed) return
      const body = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
      chunks = []
      if (body.length > 0 && deliver(body)) return
      listener.end(status, body.toString('utf8', 0, 200))
    },
    fail(error) {
      if (!failed) listener.fail(error)
    },
  }
}

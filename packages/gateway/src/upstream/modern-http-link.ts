import { UpstreamError } from '@sallyport/core'
import type { Call } from '../call/call.ts'
import { splice } from '../wire/splice.ts'
import { LATEST_MODERN } from '../wire/protocol.ts'
import { withCallersId } from './answer-id.ts'
import type { Abort, HttpClient } from './http-client.ts'
import { printable } from './legacy-http-transport.ts'
import { readMessages } from './message-reader.ts'
import type { ModernLink, ModernNotice } from './modern-link.ts'

export interface ModernHttpLinkOptions {
  readonly server: string
  readonly client: HttpClient
  readonly notice: ModernNotice
  readonly timeoutMs: number
  readonly maxAnswerBytes: number
}

/** Streamable HTTP of 2026-07-28, as a client: one POST for each call, and hanging up is how a call is cancelled. */
export class ModernHttpLink implements ModernLink {
  readonly #options: ModernHttpLinkOptions
  readonly #open = new Map<Call, Abort>()

  constructor(options: ModernHttpLinkOptions) {
    this.#options = options
  }

  send(call: Call, timeoutMs = this.#options.timeoutMs): void {
    const { server, client, notice, maxAnswerBytes } = this.#options
    const body = call.edits.length === 0 ? call.bytes : splice(call.bytes, ...call.edits)
    const headers = [
      'content-type',
      'application/json',
      'accept',
      'application/json, text/event-stream',
      'mcp-protocol-version',
      call.context.protocolVersion || LATEST_MODERN,
      'mcp-method',
      call.method,
      ...call.headers,
    ]
    const finish = (tell: () => void) => {
      if (this.#open.delete(call)) tell()
    }
    const fail = (message: string) =>
      finish(() => call.fail(new UpstreamError('ERR_UPSTREAM_PROTOCOL', server, message)))
    const answer = readMessages(server, maxAnswerBytes, {
      message: (message, scan, status) => {
        if (scan.methodStart >= 0) {
          if (this.#open.has(call)) notice(message, scan, call)
          return
        }
        const response = withCallersId(message, scan, call.idText)
        if (response === undefined) fail('answered with the id of another request')
        else finish(() => call.final(response, scan, status))
      },
      end: (status, text) => {
        if (status === 200) fail('ended its answer before the response')
        else fail(`answered HTTP ${status}${text === '' ? '' : ` (${printable(text)})`}`)
      },
      fail: (error) => {
        const abort = this.#open.get(call)
        finish(() => call.fail(error))
        abort?.()
      },
    })
    this.#open.set(
      call,
      client.send({ context: call.context, method: 'POST', headers, body, timeoutMs }, answer),
    )
  }

  cancel(call: Call): void {
    const abort = this.#open.get(call)
    this.#open.delete(call)
    abort?.()
  }

  close(): void {
    for (const abort of this.#open.values()) abort()
    this.#open.clear()
  }
}

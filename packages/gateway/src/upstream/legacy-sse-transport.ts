import { type SallyportError, UpstreamError } from '@sallyport/core'
import type { Call } from '../call/call.ts'
import { SseParser } from '../wire/sse-parser.ts'
import { BlamelessError, detailOf } from './blameless-error.ts'
import { DuplexChannel } from './duplex-channel.ts'
import { oneHeader } from './http-client.ts'
import { notSent } from './not-sent.ts'
import type { LegacyHttpTransportOptions } from './legacy-http-transport.ts'
import type { Abortable } from './lingering.ts'
import type { LegacyTransport } from './legacy-transport.ts'

export interface LegacySseTransportOptions extends Omit<LegacyHttpTransportOptions, 'resume'> {
  readonly now: () => number
  readonly garbage: (text: string) => void
}

/** The HTTP+SSE transport of 2024-11-05: one stream for everything the server says, a second URL for what it is told. */
export class LegacySseTransport implements LegacyTransport {
  readonly speaksUnasked = true
  readonly #options: LegacySseTransportOptions
  readonly #channel: DuplexChannel
  readonly #sweep: NodeJS.Timeout
  #request: Abortable | undefined
  #target: URL | undefined
  #outbox: Buffer[] = []
  #closed = false
  #failure: SallyportError | undefined

  constructor(options: LegacySseTransportOptions) {
    const { server, owner, timeoutMs, now, garbage } = options
    this.#options = options
    this.#channel = new DuplexChannel({
      server,
      write: (message) => this.#write(message),
      fromServer: (message, scan, call) => owner.fromServer(message, scan, call ?? this.#onlyCall()),
      garbage,
      timeoutMs,
      now,
    })
    this.#sweep = setInterval(() => this.#channel.sweep(), 1_000)
    this.#sweep.unref()
    this.#connect()
  }

  initialize(call: Call): void {
    this.send(call)
  }

  send(call: Call): void {
    // a connection can be refused before there is anything to send
    if (this.#failure !== undefined) call.fail(notSent(this.#failure))
    else this.#channel.send(call)
  }

  cancel(call: Call, reason: string | undefined): void {
    this.#channel.cancel(call, reason)
  }

  notify(message: Buffer): void {
    this.#write(message)
  }

  respond(message: Buffer): void {
    this.#write(message)
  }

  listen(): void {}

  close(): void {
    this.#closed = true
    clearInterval(this.#sweep)
    this.#request?.abort()
    const { server } = this.#options
    this.#channel.fail(new BlamelessError('ERR_UPSTREAM_UNAVAILABLE', server, 'the session was closed'))
  }

  #connect(): void {
    const { client, caller, maxAnswerBytes } = this.#options
    const parser = new SseParser((event) => {
      if (event.type === 'endpoint') this.#endpoint(event.data.toString())
      else if (event.type === 'message' && event.data.length > 0) this.#channel.receive(event.data)
    }, maxAnswerBytes)
    this.#request = client.send(
      { context: caller.context, method: 'GET', headers: ['accept', 'text/event-stream'], timeoutMs: 0 },
      {
        head: (status, headers) => {
          const type = oneHeader(headers, 'content-type') ?? 'nothing'
          if (status !== 200 || !type.startsWith('text/event-stream')) {
            this.#lost(`speaks neither Streamable HTTP nor HTTP+SSE (HTTP ${status}, ${type})`)
          }
        },
        data: (chunk) => {
          if (this.#closed) return
          try {
            parser.push(chunk)
          } catch (error) {
            if (!(error instanceof RangeError)) throw error
            this.#lost(error.message)
          }
        },
        end: () => this.#lost('ended its event stream'),
        fail: (error) => this.#lost(error),
      },
    )
  }

  /** The URL may be relative; another origin is refused, because it would get this server's credentials. */
  #endpoint(text: string): void {
    const { url } = this.#options.client
    const target = URL.canParse(text, url.href) ? new URL(text, url) : undefined
    if (target === undefined || target.origin !== url.origin) {
      this.#lost('named a message endpoint on another origin')
      return
    }
    this.#target = target
    for (const message of this.#outbox.splice(0)) this.#write(message)
  }

  #write(message: Buffer): void {
    const { client, caller, timeoutMs } = this.#options
    if (this.#closed) return
    if (this.#target === undefined) {
      this.#outbox.push(message)
      return
    }
    const headers = ['content-type', 'application/json']
    client.send(
      { context: caller.context, method: 'POST', url: this.#target, headers, body: message, timeoutMs },
      {
        head: (status) => {
          if (status >= 400) this.#lost(`refused a message (HTTP ${status})`)
        },
        data() {},
        end() {},
        // this message did not get there, but those before it did: it is not for all open calls that another try is safe
        fail: (error) => this.#lost(`takes no messages any more: ${detailOf(error)}`),
      },
    )
  }

  #onlyCall(): Call | undefined {
    if (this.#channel.openCount !== 1) return undefined
    const [call] = this.#channel.openCalls
    return call
  }

  #lost(why: string | SallyportError): void {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#sweep)
    this.#request?.abort()
    const error = typeof why === 'string' ? this.#error(why) : why
    this.#failure = error
    this.#channel.fail(error)
    this.#options.owner.closed(error)
  }

  #error(message: string): UpstreamError {
    return new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', this.#options.server, message)
  }
}

import {
  GatewayError,
  type HttpServerDefinition,
  type NamedServer,
  type RequestContext,
  type SallyportError,
  UpstreamError,
  type UpstreamChallenge,
  type UpstreamCredentials,
} from '@sallyport/core'
import { type Dispatcher, Pool } from 'undici'
import { type Abortable, hasEnded } from './lingering.ts'
import { atEndOfTurn, endOfTurn, type Write } from '../end-of-turn.ts'
import type { Reachability } from './reachability.ts'
import { BlamelessError } from './blameless-error.ts'

export interface HttpRequest {
  readonly context: RequestContext
  readonly method: 'POST' | 'GET' | 'DELETE'
  /** Absolute URL on the server's origin; default is the server's own. */
  readonly url?: URL
  /** Name and value in turn. */
  readonly headers: readonly string[]
  readonly body?: Buffer | undefined
  /** Milliseconds until the head of the answer, and between two parts of its body; 0 waits for ever. */
  readonly timeoutMs: number
  /**
   * It may be what an open call waits for (an answer to a question, a cancellation, the handshake), so it must not wait for a
   * connection that open calls have.
   */
  readonly aside?: boolean
}

export type HttpHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/** Counted now. */
export interface HttpLoad {
  readonly connections: number
  /** Requests whose answer is a stream without end; they have connections of their own. */
  readonly streams: number
  /** Requests on a connection. */
  readonly running: number
  /** Requests that have no connection yet. */
  readonly waiting: number
}

/** What happens to one request; after `end` or `fail` nothing else is called. */
export interface HttpAnswer {
  head(status: number, headers: HttpHeaders): void
  data(chunk: Buffer): void
  end(): void
  fail(error: SallyportError): void
}

export const nothingToAbort: Abortable = { abort() {} }

const NONE: readonly string[] = []
/** What goes there is short and answered at once. */
const ASIDE_CONNECTIONS = 32

/** What the gateway sends to servers that are reached by URL: no redirects, no headers but its own and the server's. */
export class HttpClient {
  readonly #server: NamedServer & { readonly definition: HttpServerDefinition }
  readonly #url: URL
  readonly #path: string
  readonly #pool: Pool
  /** Streams that stay open have connections of their own: they must not take those of calls. */
  readonly #streams: Pool
  /** For what open calls may wait for. */
  readonly #aside: Pool
  readonly #credentials: UpstreamCredentials | undefined
  readonly #configured: readonly string[]
  readonly reachability: Reachability

  constructor(
    server: NamedServer & { readonly definition: HttpServerDefinition },
    credentials: UpstreamCredentials | undefined,
    maxConnections: number,
    reachability: Reachability,
  ) {
    this.reachability = reachability
    this.#server = server
    this.#url = new URL(server.definition.url)
    this.#path = this.#url.pathname + this.#url.search
    this.#credentials = credentials
    this.#pool = new Pool(this.#url.origin, { connections: maxConnections, pipelining: 1 })
    this.#streams = new Pool(this.#url.origin, { pipelining: 1 })
    this.#aside = new Pool(this.#url.origin, { connections: ASIDE_CONNECTIONS, pipelining: 1 })
    this.#configured = Object.entries(server.definition.headers ?? {}).flat()
  }

  get url(): URL {
    return this.#url
  }

  /** What is open and what waits, over all connections. */
  get load(): HttpLoad {
    // what is queued in the pool counts as pending there
    const { connected, running, pending } = this.#pool.stats
    return {
      connections: connected,
      streams: this.#streams.stats.running,
      running,
      waiting: pending,
    }
  }

  send(request: HttpRequest, answer: HttpAnswer): Abortable {
    const attempt = new Attempt(this, request, answer)
    this.withCredential(attempt, undefined)
    return attempt
  }

  /** Lets open requests end for so long, then breaks them off. */
  async close(graceMs: number): Promise<void> {
    await endOfTurn()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, graceMs)
    })
    await Promise.race([Promise.all([this.#pool.close(), this.#aside.close()]), late])
    clearTimeout(timer)
    await Promise.all([this.#pool.destroy(), this.#aside.destroy(), this.#streams.destroy()])
  }

  /** Obtains what the server wants to see, then sends. */
  withCredential(attempt: Attempt, challenge: UpstreamChallenge | undefined): void {
    if (this.#credentials === undefined) {
      this.#dispatch(attempt, NONE)
      return
    }
    try {
      const credential = this.#credentials.get(attempt.request.context, this.#server, challenge)
      if (credential instanceof Promise) {
        credential
          .then((got) => this.#authorized(attempt, got))
          .catch((cause: unknown) => this.#withoutCredential(attempt, cause))
      } else this.#authorized(attempt, credential)
    } catch (cause) {
      this.#withoutCredential(attempt, cause)
    }
  }

  /** True if a refusal for lack of a credential is worth a second try. */
  get obtainsCredentials(): boolean {
    return this.#credentials !== undefined
  }

  #authorized(attempt: Attempt, credential: Awaited<ReturnType<UpstreamCredentials['get']>>): void {
    if (credential === undefined) this.#dispatch(attempt, NONE)
    else if ('headers' in credential) this.#dispatch(attempt, Object.entries(credential.headers).flat())
    else {
      const message = `server "${this.#server.name}" needs your consent first: open ${credential.consentUrl}`
      const data = { server: this.#server.name, consentUrl: credential.consentUrl }
      attempt.fail(new GatewayError('ERR_CONSENT_REQUIRED', message, { data }))
    }
  }

  #withoutCredential(attempt: Attempt, cause: unknown): void {
    const options = { cause, retrySafe: true }
    const { name } = this.#server
    attempt.fail(
      new BlamelessError('ERR_UPSTREAM_UNAVAILABLE', name, 'no credential could be obtained', options),
    )
  }

  #dispatch(attempt: Attempt, credential: readonly string[]): void {
    attempt.credential = credential
    atEndOfTurn(attempt)
  }

  /** Hands the attempt to the connections. undici reports what it finds wrong to the attempt and does not throw. */
  dispatch(attempt: Attempt): void {
    const { url, method, headers, body, timeoutMs, aside } = attempt.request
    const path = url === undefined ? this.#path : url.pathname + url.search
    const options: Dispatcher.DispatchOptions = {
      path,
      method,
      headers: joined(headers, this.#configured, attempt.credential),
      body: body ?? null,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    }
    const pool = timeoutMs === 0 ? this.#streams : aside === true ? this.#aside : this.#pool
    pool.dispatch(options, attempt)
  }

  /** @param sent the connection was there, so something of the request may have got to the server */
  failure(cause: Error, sent: boolean): UpstreamError {
    const { name } = this.#server
    const code = 'code' in cause ? String(cause.code) : cause.name
    if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
      return new UpstreamError('ERR_UPSTREAM_TIMEOUT', name, 'did not answer in time', { cause })
    }
    const what = sent
      ? `broke off the connection (${code})`
      : `cannot be reached at ${this.#url.origin} (${code})`
    return new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', name, what, { cause, retrySafe: !sent })
  }
}

function joined(
  own: readonly string[],
  configured: readonly string[],
  credential: readonly string[],
): string[] {
  return configured.length + credential.length === 0 ? [...own] : [...own, ...configured, ...credential]
}

/** One request from the caller's point of view, however often it is sent. */
class Attempt implements Dispatcher.DispatchHandler, Abortable, Write {
  readonly request: HttpRequest
  /** Headers, name and value in turn. */
  credential: readonly string[] = NONE
  aborted = false
  readonly #client: HttpClient
  readonly #answer: HttpAnswer
  #controller: Dispatcher.DispatchController | undefined
  #finished = false
  /** The try that the server refused; what still comes of that answer does not matter. */
  #refused: Dispatcher.DispatchController | undefined

  constructor(client: HttpClient, request: HttpRequest, answer: HttpAnswer) {
    this.#client = client
    this.request = request
    this.#answer = answer
  }

  run(): void {
    if (!this.aborted) this.#client.dispatch(this)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.aborted) controller.abort(new Error('the caller withdrew the request'))
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: HttpHeaders): void {
    this.#client.reachability.answered()
    if (status !== 401 || this.#refused !== undefined || !this.#client.obtainsCredentials) {
      if (!this.aborted) this.#answer.head(status, headers)
      return
    }
    this.#refused = controller
    this.#client.withCredential(this, { status, wwwAuthenticate: oneHeader(headers, 'www-authenticate') })
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (controller !== this.#refused && !this.aborted) this.#answer.data(chunk)
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (controller === this.#refused || this.#finished || this.aborted) return
    this.#finished = true
    this.#answer.end()
    hasEnded(this)
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#refused !== undefined && controller === this.#refused) return
    const failure = this.#client.failure(error, this.#controller !== undefined)
    if (!this.aborted) this.#client.reachability.failed(failure)
    this.fail(failure)
  }

  fail(error: SallyportError): void {
    if (this.#finished || this.aborted) return
    this.#finished = true
    this.#answer.fail(error)
  }

  abort(): void {
    if (this.aborted || this.#finished) return
    this.aborted = true
    this.#controller?.abort(new Error('the caller withdrew the request'))
  }
}

export function oneHeader(headers: HttpHeaders, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.[0]
}

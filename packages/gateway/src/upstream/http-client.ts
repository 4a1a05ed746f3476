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

export interface HttpRequest {
  readonly context: RequestContext
  readonly method: 'POST' | 'GET' | 'DELETE'
  /** Absolute URL on the server's origin; default is the server's own. */
  readonly url?: URL
  /** Name and value in turn. */
  readonly headers: readonly string[]
  readonly body?: Buffer
  /** Milliseconds until the head of the answer, and between two parts of its body; 0 waits for ever. */
  readonly timeoutMs: number
}

export type HttpHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/** What happens to one request; after `end` or `fail` nothing else is called. */
export interface HttpAnswer {
  head(status: number, headers: HttpHeaders): void
  data(chunk: Buffer): void
  end(): void
  fail(error: SallyportError): void
}

export type Abort = () => void

/** What the gateway sends to servers that are reached by URL: no redirects, no headers but its own and the server's. */
export class HttpClient {
  readonly #server: NamedServer & { readonly definition: HttpServerDefinition }
  readonly #url: URL
  readonly #pool: Pool
  readonly #credentials: UpstreamCredentials | undefined
  readonly #configured: readonly string[]

  constructor(
    server: NamedServer & { readonly definition: HttpServerDefinition },
    credentials: UpstreamCredentials | undefined,
    maxConnections: number,
  ) {
    this.#server = server
    this.#url = new URL(server.definition.url)
    this.#credentials = credentials
    this.#pool = new Pool(this.#url.origin, { connections: maxConnections, pipelining: 1 })
    this.#configured = Object.entries(server.definition.headers ?? {}).flat()
  }

  get url(): URL {
    return this.#url
  }

  send(request: HttpRequest, answer: HttpAnswer): Abort {
    const attempt = new Attempt(answer)
    this.#withCredential(request, undefined, attempt, (headers) => {
      const mayRetry = this.#credentials !== undefined
      this.#dispatch(request, headers, attempt, mayRetry)
    })
    return attempt.abort
  }

  close(): Promise<void> {
    return this.#pool.close()
  }

  destroy(): Promise<void> {
    return this.#pool.destroy()
  }

  #dispatch(request: HttpRequest, credential: readonly string[], attempt: Attempt, mayRetry: boolean): void {
    if (attempt.aborted) return
    const url = request.url ?? this.#url
    let refused = false
    const options: Dispatcher.DispatchOptions = {
      path: url.pathname + url.search,
      method: request.method,
      headers: [...request.headers, ...this.#configured, ...credential],
      body: request.body ?? null,
      headersTimeout: request.timeoutMs,
      bodyTimeout: request.timeoutMs,
    }
    this.#pool.dispatch(options, {
      onRequestStart: (controller) => attempt.started(controller),
      onResponseStart: (_controller, status, headers) => {
        if (status === 401 && mayRetry) {
          refused = true
          const challenge: UpstreamChallenge = {
            status,
            wwwAuthenticate: oneHeader(headers, 'www-authenticate'),
          }
          this.#withCredential(request, challenge, attempt, (fresh) =>
            this.#dispatch(request, fresh, attempt, false),
          )
        } else attempt.answer.head(status, headers)
      },
      onResponseData: (_controller, chunk) => {
        if (!refused) attempt.answer.data(chunk)
      },
      onResponseEnd: () => {
        if (!refused) attempt.finish((answer) => answer.end())
      },
      onResponseError: (_controller, error) => {
        if (!refused) attempt.finish((answer) => answer.fail(this.#failure(error)))
      },
    })
  }

  #withCredential(
    request: HttpRequest,
    challenge: UpstreamChallenge | undefined,
    attempt: Attempt,
    proceed: (headers: readonly string[]) => void,
  ): void {
    if (this.#credentials === undefined) {
      proceed([])
      return
    }
    const use = (credential: Awaited<ReturnType<UpstreamCredentials['get']>>) => {
      if (credential === undefined) proceed([])
      else if ('headers' in credential) proceed(Object.entries(credential.headers).flat())
      else {
        const message = `server "${this.#server.name}" needs your consent first: open ${credential.consentUrl}`
        const data = { server: this.#server.name, consentUrl: credential.consentUrl }
        attempt.finish((answer) => answer.fail(new GatewayError('ERR_CONSENT_REQUIRED', message, { data })))
      }
    }
    const broken = (cause: unknown) => {
      const error = new UpstreamError(
        'ERR_UPSTREAM_UNAVAILABLE',
        this.#server.name,
        'no credential could be obtained',
        {
          cause,
          retrySafe: true,
        },
      )
      attempt.finish((answer) => answer.fail(error))
    }
    try {
      const credential = this.#credentials.get(request.context, this.#server, challenge)
      if (credential instanceof Promise) credential.then(use, broken)
      else use(credential)
    } catch (cause) {
      broken(cause)
    }
  }

  #failure(cause: Error): UpstreamError {
    const { name } = this.#server
    const code = 'code' in cause ? String(cause.code) : cause.name
    if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
      return new UpstreamError('ERR_UPSTREAM_TIMEOUT', name, 'did not answer in time', { cause })
    }
    const unreached =
      /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT)$/.test(code)
    const what = unreached
      ? `cannot be reached at ${this.#url.origin} (${code})`
      : `broke off the connection (${code})`
    return new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', name, what, { cause, retrySafe: unreached })
  }
}

/** One request from the caller's point of view, however often it is sent. */
class Attempt {
  readonly answer: HttpAnswer
  aborted = false
  #controller: Dispatcher.DispatchController | undefined
  #finished = false

  constructor(answer: HttpAnswer) {
    this.answer = answer
  }

  started(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.aborted) controller.abort(new Error('the caller withdrew the request'))
  }

  finish(tell: (answer: HttpAnswer) => void): void {
    if (this.#finished || this.aborted) return
    this.#finished = true
    tell(this.answer)
  }

  readonly abort: Abort = () => {
    if (this.aborted || this.#finished) return
    this.aborted = true
    this.#controller?.abort(new Error('the caller withdrew the request'))
  }
}

export function oneHeader(headers: HttpHeaders, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.[0]
}

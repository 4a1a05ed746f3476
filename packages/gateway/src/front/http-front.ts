import {
  type Authenticator,
  type Challenge,
  GatewayError,
  isChallenge,
  type Principal,
  type ProtocolEra,
} from '@sallyport/core'
import type { GatewayCore } from '../gateway-core.ts'
import { errorOnWire } from '../wire/error-on-wire.ts'
import { endpointAt } from '../call/endpoint.ts'
import { idBytes, isFault } from '../wire/client-message.ts'
import { errorMessage } from '../wire/json-rpc.ts'
import { RpcCode } from '../wire/protocol.ts'
import {
  type BodyFault,
  type BodyReader,
  headerOf,
  type HttpExchange,
  JSON_TYPE,
  NO_HEADERS,
} from './http-exchange.ts'
import { failed, guard } from './guard.ts'
import { Admission, senderOf } from './admission.ts'
import { LegacyHttp } from './legacy-http.ts'
import { ModernHttp } from './modern-http.ts'
import { challengeHeader, metadataJson, metadataUrl, resourcePathOf } from './resource-metadata.ts'
import { StreamQuota } from './stream-quota.ts'
import { eraOf, readBody } from './read-body.ts'

const EXPOSED_HEADERS =
  'mcp-session-id, mcp-protocol-version, www-authenticate, retry-after, ratelimit, ratelimit-policy'

/** Paths that are remembered, beside those that lead nowhere. */
const MAX_KNOWN_PATHS = 1_000

/** Where a path leads. */
interface Endpoint {
  /** A server, or `toolsets/<name>`; absent on the aggregated endpoint. */
  readonly name: string | undefined
}

/** HTTP in front of the gateway: which resource, who calls, which era. What follows is in {@link ModernHttp} and {@link LegacyHttp}. */
export class HttpFront {
  readonly #core: GatewayCore
  readonly #authenticator: Authenticator
  readonly #basePath: string
  readonly #modern: ModernHttp
  readonly #legacy: LegacyHttp
  readonly #endpoints = new Map<string, Endpoint>()

  constructor(core: GatewayCore) {
    this.#core = core
    this.#authenticator = core.authenticator
    const path = core.publicUrl?.pathname ?? '/mcp'
    this.#basePath = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
    const quota = new StreamQuota(core.limits.streamsPerPrincipal)
    this.#modern = new ModernHttp(core, quota)
    this.#legacy = new LegacyHttp(core, quota)
  }

  handle(exchange: HttpExchange): void {
    try {
      this.#route(exchange)
    } catch (cause) {
      failed(this.#core, exchange, cause)
    }
  }

  #route(exchange: HttpExchange): void {
    const { path } = exchange
    if (path === '/livez' || path === '/readyz') {
      this.#health(exchange, path)
      return
    }
    if (exchange.headerBytes > this.#core.limits.headerBytes) {
      this.#refuse(exchange, 431, {}, `the headers are larger than ${this.#core.limits.headerBytes} bytes`)
      return
    }
    const wrongHost = this.#core.hostCheck.refusal(exchange)
    if (wrongHost !== undefined) {
      this.#refuse(exchange, 403, {}, wrongHost)
      return
    }
    const headers = crossOriginHeaders(exchange)
    const resourcePath = resourcePathOf(path)
    const endpoint = this.#endpoint(resourcePath === '/' ? this.#basePath : (resourcePath ?? path))
    if (endpoint === undefined) this.#refuse(exchange, 404, headers, 'no such endpoint')
    else if (exchange.method === 'OPTIONS') exchange.respond(204, { ...headers, ...preflightHeaders })
    else if (resourcePath !== undefined) this.#metadata(exchange, endpoint.name, headers)
    else this.#authenticate(exchange, endpoint.name, headers)
  }

  /** `undefined` if the path leads nowhere. */
  #endpoint(path: string): Endpoint | undefined {
    const known = this.#endpoints.get(path) ?? this.#readPath(path)
    if (known?.name === undefined) return known
    return this.#core.hasEndpoint(known.name) ? known : undefined
  }

  #readPath(path: string): Endpoint | undefined {
    const base = this.#basePath === '/' ? '' : this.#basePath
    const isAggregated = path === this.#basePath || path === `${base}/`
    if (!isAggregated && !path.startsWith(`${base}/`)) return undefined
    const name = isAggregated ? undefined : endpointAt(path.slice(base.length + 1))
    if (!isAggregated && (name === undefined || !this.#core.hasEndpoint(name))) return undefined
    const endpoint = { name }
    // one name can be written in many ways
    if (this.#endpoints.size >= MAX_KNOWN_PATHS) this.#endpoints.clear()
    this.#endpoints.set(path, endpoint)
    return endpoint
  }

  #authenticate(
    exchange: HttpExchange,
    server: string | undefined,
    headers: Readonly<Record<string, string>>,
  ): void {
    const url = this.#core.urlOf(exchange, this.#basePath, server)
    let result: Principal | Challenge | PromiseLike<Principal | Challenge>
    try {
      result = this.#authenticator.authenticate({
        method: exchange.method,
        url,
        headers: exchange.headers,
        remoteAddress: exchange.remoteAddress,
      })
    } catch (cause) {
      this.#unauthenticated(exchange, headers, cause)
      return
    }
    if (!isThenable(result)) {
      this.#admit(exchange, server, url, headers, result)
      return
    }
    // promises of other libraries count as well: what is not awaited would be let in unread
    result.then(
      (it) => guard(this.#core, exchange, () => this.#admit(exchange, server, url, headers, it)),
      (cause: unknown) => this.#unauthenticated(exchange, headers, cause),
    )
  }

  #admit(
    exchange: HttpExchange,
    server: string | undefined,
    url: string,
    headers: Readonly<Record<string, string>>,
    result: Principal | Challenge,
  ): void {
    if (typeof result !== 'object' || result === null) {
      this.#unauthenticated(exchange, headers, 'the authenticator returned no object')
    } else if (isChallenge(result)) this.#challenge(exchange, result, url, headers)
    else if (!isNonEmpty(result.tenant) || !isNonEmpty(result.subject)) {
      const cause = 'the authenticator returned a principal without tenant or subject'
      this.#unauthenticated(exchange, headers, cause)
    } else this.#dispatch(exchange, new Admission(result, server, headers, url, this.#authenticator))
  }

  #unauthenticated(exchange: HttpExchange, headers: Readonly<Record<string, string>>, cause: unknown): void {
    this.#core.logger.error('authentication failed', { cause: String(cause) })
    const message = 'authentication is not available now'
    this.#refuse(exchange, 503, { ...headers, 'retry-after': '5' }, message)
  }

  #dispatch(exchange: HttpExchange, admission: Admission): void {
    exchange.principal = admission.principal
    // whoever has a session may still bring what its open calls wait for
    if (this.#core.draining && headerOf(exchange, 'mcp-session-id') === undefined) {
      this.#shuttingDown(exchange, admission, undefined)
      return
    }
    switch (exchange.method) {
      case 'POST':
        this.#post(exchange, admission)
        return
      case 'GET':
        this.#legacy.get(exchange, admission)
        return
      case 'DELETE':
        this.#legacy.delete(exchange, admission)
        return
      default:
        this.#refuse(
          exchange,
          405,
          { ...admission.headers, allow: 'GET, POST, DELETE, OPTIONS' },
          'method not allowed',
        )
    }
  }

  #post(exchange: HttpExchange, admission: Admission): void {
    const type = headerOf(exchange, 'content-type') ?? ''
    if (type !== 'application/json' && !/^application\/json\s*(?:;|$)/i.test(type)) {
      this.#invalid(exchange, admission, 415, 0, 'the Content-Type must be application/json')
      return
    }
    exchange.readBody(this.#core.limits.bodyBytes, new PendingPost(this, exchange, admission))
  }

  posted(exchange: HttpExchange, admission: Admission, body: Buffer | BodyFault): void {
    try {
      if (Buffer.isBuffer(body)) this.#message(exchange, admission, body)
      else this.#bodyFault(exchange, admission, body)
    } catch (cause) {
      failed(this.#core, exchange, cause)
    }
  }

  #message(exchange: HttpExchange, admission: Admission, body: Buffer): void {
    const read = readBody(body, this.#core.limits.depth)
    if (read.kind === 'fault') {
      this.#core.audit.invalid(senderOf(exchange, admission), body.length, read.code)
      const error = { code: read.code, message: read.message }
      exchange.respond(400, { ...admission.headers, ...JSON_TYPE }, errorMessage(read.idText, error))
      return
    }
    const messages = read.kind === 'batch' ? read.messages : [read.message]
    const request = messages.find((it) => !isFault(it) && it.kind === 'request')
    if (this.#core.draining && request !== undefined && !isFault(request)) {
      this.#shuttingDown(exchange, admission, read.kind === 'message' ? idBytes(request) : undefined)
    } else if (read.kind === 'batch') this.#legacy.batch(exchange, admission, read.messages)
    else {
      const era: ProtocolEra = eraOf(exchange, read.message)
      if (era === 'modern') this.#modern.post(exchange, admission, read.message)
      else this.#legacy.post(exchange, admission, read.message)
    }
  }

  #shuttingDown(exchange: HttpExchange, admission: Admission, id: Buffer | undefined): void {
    const error = new GatewayError('ERR_SHUTTING_DOWN', 'the gateway is shutting down', {
      data: { retrySafe: true },
    })
    const { status, ...shown } = errorOnWire(error)
    this.#core.audit.invalid(senderOf(exchange, admission), 0, status)
    const headers = { ...admission.headers, ...JSON_TYPE, 'retry-after': '1' }
    exchange.respond(status, headers, errorMessage(id, shown))
  }

  #bodyFault(exchange: HttpExchange, admission: Admission, { fault }: BodyFault): void {
    if (fault === 'gone') return
    const { bodyBytes } = this.#core.limits
    if (fault === 'too-large') {
      this.#invalid(exchange, admission, 413, bodyBytes, `the body is larger than ${bodyBytes} bytes`)
    } else {
      const how = 'mount the gateway before body parsers, or leave what they read in request.body'
      this.#invalid(exchange, admission, 500, 0, `the body was read before it reached the gateway: ${how}`)
    }
  }

  #invalid(
    exchange: HttpExchange,
    admission: Admission,
    status: number,
    bytes: number,
    message: string,
  ): void {
    this.#core.audit.invalid(senderOf(exchange, admission), bytes, status)
    const body = errorMessage(undefined, { code: RpcCode.invalidRequest, message })
    exchange.respond(status, { ...admission.headers, ...JSON_TYPE }, body)
  }

  #metadata(
    exchange: HttpExchange,
    server: string | undefined,
    headers: Readonly<Record<string, string>>,
  ): void {
    if (exchange.method !== 'GET' && exchange.method !== 'HEAD') {
      this.#refuse(exchange, 405, { ...headers, allow: 'GET, HEAD, OPTIONS' }, 'method not allowed')
      return
    }
    const url = this.#core.urlOf(exchange, this.#basePath, server)
    const json = metadataJson(url, server ?? this.#core.serverInfo.name, this.#authenticator)
    if (json === undefined) this.#refuse(exchange, 404, headers, 'this resource has no metadata')
    else exchange.respond(200, { ...headers, ...JSON_TYPE, 'cache-control': 'max-age=300' }, json)
  }

  #challenge(
    exchange: HttpExchange,
    challenge: Challenge,
    url: string,
    headers: Readonly<Record<string, string>>,
  ): void {
    const code = challenge.status === 401 ? 'ERR_UNAUTHENTICATED' : 'ERR_FORBIDDEN'
    this.#core.audit.invalid({ remoteAddress: exchange.remoteAddress }, 0, challenge.error ?? code)
    const error = new GatewayError(
      code,
      challenge.description ??
        (challenge.status === 401 ? 'authentication is required' : 'this is not allowed'),
    )
    const { status: _, ...shown } = errorOnWire(error)
    const authenticate = {
      'www-authenticate': challengeHeader(challenge, metadataUrl(url, this.#authenticator)),
    }
    exchange.respond(
      challenge.status,
      { ...headers, ...authenticate, ...JSON_TYPE },
      errorMessage(undefined, shown),
    )
  }

  #refuse(
    exchange: HttpExchange,
    status: number,
    headers: Readonly<Record<string, string>>,
    message: string,
  ): void {
    this.#core.audit.invalid({ remoteAddress: exchange.remoteAddress }, 0, status)
    const body = errorMessage(undefined, { code: RpcCode.invalidRequest, message })
    exchange.respond(status, { ...headers, ...JSON_TYPE }, body)
  }

  #health(exchange: HttpExchange, path: string): void {
    const health = this.#core.health()
    const good = path === '/livez' ? health.live : health.ready
    exchange.respond(
      good ? 200 : 503,
      { ...JSON_TYPE, 'cache-control': 'no-store' },
      JSON.stringify({ ok: good }),
    )
  }
}

function isNonEmpty(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}

function isThenable<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

/** A POST whose body is still on its way. */
class PendingPost implements BodyReader {
  readonly #front: HttpFront
  readonly #exchange: HttpExchange
  readonly #admission: Admission

  constructor(front: HttpFront, exchange: HttpExchange, admission: Admission) {
    this.#front = front
    this.#exchange = exchange
    this.#admission = admission
  }

  body(body: Buffer | BodyFault): void {
    this.#front.posted(this.#exchange, this.#admission, body)
  }
}

const preflightHeaders = {
  'access-control-allow-methods': 'GET, POST, DELETE, OPTIONS',
  'access-control-max-age': '600',
}

/** The Origin has been found allowed before. */
function crossOriginHeaders(exchange: HttpExchange): Readonly<Record<string, string>> {
  const origin = headerOf(exchange, 'origin')
  if (origin === undefined) return NO_HEADERS
  const wanted = headerOf(exchange, 'access-control-request-headers')
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': EXPOSED_HEADERS,
    vary: 'Origin',
    ...(wanted !== undefined && { 'access-control-allow-headers': wanted.replaceAll(/[^\w\-, ]/g, '') }),
  }
}

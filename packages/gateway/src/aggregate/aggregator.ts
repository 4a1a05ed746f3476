import { type GatewayInterceptor, type Logger, SallyportError, UpstreamError } from '@sallyport/core'
import type { Flow } from '../call/flow.ts'
import { forward, withHeader } from '../call/forward.ts'
import type { LegacySession } from '../legacy/legacy-session.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { UpstreamTable } from '../upstream/upstream-table.ts'
import { isRecord } from '../wire/client-message.ts'
import { encodeHeaderValue } from '../wire/header-value.ts'
import { RpcCode } from '../wire/protocol.ts'
import type { Edit } from '../wire/splice.ts'
import { AnnotatedCall } from './annotated-call.ts'
import { type AskerOptions, legacyAsker, modernAsker } from './askers.ts'
import type { Catalog, CatalogEntry } from './catalog.ts'
import type { CursorSeal } from './cursor.ts'
import { envelopeOf } from './envelope.ts'
import { listOfKind, listOfMethod } from './list-kind.ts'
import { setLogLevel } from './log-level.ts'
import { answerList } from './merged-list.ts'
import { mayBeShortened, publicName, splitPublicName } from './names.ts'
import { findByUri } from './uri-route.ts'
import type { Way } from './way.ts'

export interface AggregatorOptions {
  readonly upstreams: UpstreamTable
  readonly catalog: Catalog
  readonly cursors: CursorSeal
  readonly interceptors: readonly GatewayInterceptor[]
  readonly logger: Logger
  readonly listMs: number
  readonly perPrincipal: boolean
  /** Opens a subscription of the modern era on every server. */
  readonly listen: (flow: Flow) => void
}

/** Where calls on the aggregated endpoint go. One per gateway; what differs from caller to caller is an argument. */
export class Aggregator {
  readonly #options: AggregatorOptions
  readonly #askerOptions: AskerOptions

  constructor(options: AggregatorOptions) {
    const { upstreams, listMs, perPrincipal } = options
    this.#options = options
    this.#askerOptions = { upstreams, listMs, perPrincipal }
  }

  legacy(session: LegacySession, flow: Flow): void {
    this.#route(flow, {
      asker: () => legacyAsker(session, flow.context, this.#askerOptions),
      carriers: (upstream) => session.peer(upstream),
      speaks: () => true,
      session,
    })
  }

  modern(flow: Flow): void {
    const { context } = flow
    this.#route(flow, {
      asker: () => modernAsker(context, envelopeOf(flow.message.params), this.#askerOptions),
      carriers: (upstream) => upstream,
      speaks: (upstream) => upstream.knownEra?.modern !== undefined,
      session: undefined,
    })
  }

  /** Lets a call be made again, should its answer be lost and its server's list say that this does no harm. */
  allowRetry(
    flow: Flow,
    upstream: Upstream,
    target: string | undefined,
    session: LegacySession | undefined,
  ): void {
    const asker =
      session === undefined
        ? modernAsker(flow.context, envelopeOf(flow.message.params), this.#askerOptions)
        : legacyAsker(session, flow.context, this.#askerOptions)
    flow.repeatable = new AnnotatedCall(this.#options.catalog, asker, upstream.name, flow.method, target)
  }

  /** The servers that a caller of the modern era reads resources from. */
  async ownersOf(flow: Flow, uris: readonly string[]): Promise<ReadonlyMap<string, Upstream | undefined>> {
    const asker = modernAsker(flow.context, envelopeOf(flow.message.params), this.#askerOptions)
    const owners = new Map<string, Upstream | undefined>()
    // one after the other: the first answers fill the catalog for the rest
    for (const uri of uris) {
      owners.set(uri, await new Promise((resolve) => findByUri(uri, () => asker, this.#options, resolve)))
    }
    return owners
  }

  #route(flow: Flow, way: Way): void {
    const { method } = flow
    const list = listOfMethod(method)
    if (list !== undefined) {
      answerList(flow, list, way, this.#options)
      return
    }
    switch (method) {
      case 'tools/call':
        this.#named(flow, way, 'tools')
        return
      case 'prompts/get':
        this.#named(flow, way, 'prompts')
        return
      case 'resources/read':
      case 'resources/subscribe':
      case 'resources/unsubscribe':
        this.#byUri(flow, way)
        return
      case 'completion/complete':
        this.#completion(flow, way)
        return
      case 'subscriptions/listen':
        if (way.session === undefined) this.#options.listen(flow)
        else notFound(flow)
        return
      case 'ping':
        if (way.session === undefined) notFound(flow)
        else flow.begin(undefined, undefined, () => flow.answer('{}'))
        return
      case 'logging/setLevel':
        if (way.session === undefined) notFound(flow)
        else setLogLevel(way.session, flow)
        return
      default:
        this.#unknown(flow, way)
    }
  }

  #named(flow: Flow, way: Way, kind: 'tools' | 'prompts'): void {
    const { name } = flow.message.params
    if (typeof name !== 'string') {
      flow.reject(flow.context.era === 'modern' ? 400 : 200, {
        code: RpcCode.invalidParams,
        message: 'params.name must be a string',
      })
      return
    }
    this.#resolveName(way, kind, name, (found) => {
      if (found instanceof Error) flow.fail(found)
      else if (found === undefined)
        flow.reject(200, {
          code: RpcCode.invalidParams,
          message: `Unknown ${kind === 'tools' ? 'tool' : 'prompt'}: ${name}`,
        })
      else {
        const { scan } = flow
        const edit: Edit = [scan.nameStart, scan.nameEnd, JSON.stringify(found.name)]
        flow.headers = withHeader(flow.headers, 'mcp-name', encodeHeaderValue(found.name))
        this.#forward(flow, way, found.upstream, found.name, [edit])
      }
    })
  }

  /** Calls back at once if the name says it all; a shortened name has to be looked up in its server's list. */
  #resolveName(
    way: Way,
    kind: 'tools' | 'prompts',
    name: string,
    done: (found: { upstream: Upstream; name: string } | undefined | Error) => void,
  ): void {
    const { upstreams, catalog } = this.#options
    const parts = splitPublicName(name)
    const upstream = parts === undefined ? undefined : upstreams.byPart(parts.server)
    if (parts === undefined || upstream === undefined) {
      done(undefined)
      return
    }
    const plain = publicName(upstream.name, parts.rest) === name ? { upstream, name: parts.rest } : undefined
    if (plain !== undefined && !mayBeShortened(name)) {
      done(plain)
      return
    }
    const wanted = ({ names }: CatalogEntry) => names.get(name)
    void catalog.find(way.asker(), upstream.name, listOfKind(kind), wanted).then((own) => {
      if (SallyportError.isInstance(own)) done(own)
      else done(own === undefined ? plain : { upstream, name: own })
    })
  }

  #byUri(flow: Flow, way: Way): void {
    const { uri } = flow.message.params
    if (typeof uri !== 'string') {
      flow.reject(flow.context.era === 'modern' ? 400 : 200, {
        code: RpcCode.invalidParams,
        message: 'params.uri must be a string',
      })
      return
    }
    findByUri(uri, way.asker, this.#options, (found) => {
      if (flow.settled) return
      if (found !== undefined) {
        way.session?.remember(found.name, flow.method, flow.message.params)
        this.#forward(flow, way, found, uri, [])
      } else if (flow.context.era === 'modern') {
        flow.reject(200, { code: RpcCode.invalidParams, message: 'Resource not found', data: { uri } })
      } else
        flow.reject(200, { code: RpcCode.resourceNotFound, message: 'Resource not found', data: { uri } })
    })
  }

  #completion(flow: Flow, way: Way): void {
    const { ref } = flow.message.params
    if (isRecord(ref) && ref['type'] === 'ref/prompt' && typeof ref['name'] === 'string') {
      const { name } = ref
      this.#resolveName(way, 'prompts', name, (found) => {
        if (found instanceof Error) flow.fail(found)
        else if (found === undefined)
          flow.reject(200, { code: RpcCode.invalidParams, message: `Unknown prompt: ${name}` })
        else {
          const { scan, message } = flow
          const params = JSON.stringify({ ...message.params, ref: { ...ref, name: found.name } })
          this.#forward(flow, way, found.upstream, found.name, [[scan.paramsStart, scan.paramsEnd, params]])
        }
      })
      return
    }
    const uri = isRecord(ref) && ref['type'] === 'ref/resource' ? ref['uri'] : undefined
    if (typeof uri !== 'string') {
      flow.reject(200, {
        code: RpcCode.invalidParams,
        message: 'params.ref must name a prompt or a resource',
      })
      return
    }
    findByUri(uri, way.asker, this.#options, (found) => {
      if (flow.settled) return
      if (found !== undefined) this.#forward(flow, way, found, uri, [])
      else
        flow.reject(200, {
          code: RpcCode.invalidParams,
          message: 'no server has this resource',
          data: { uri },
        })
    })
  }

  /** A method that the gateway does not know goes through if its `params.name` tells the server. */
  #unknown(flow: Flow, way: Way): void {
    const { name } = flow.message.params
    const parts = typeof name === 'string' ? splitPublicName(name) : undefined
    const upstream = parts === undefined ? undefined : this.#options.upstreams.byPart(parts.server)
    if (parts === undefined || upstream === undefined) {
      notFound(flow)
      return
    }
    const { scan } = flow
    flow.headers = withHeader(flow.headers, 'mcp-name', encodeHeaderValue(parts.rest))
    this.#forward(flow, way, upstream, parts.rest, [
      [scan.nameStart, scan.nameEnd, JSON.stringify(parts.rest)],
    ])
  }

  #forward(flow: Flow, way: Way, upstream: Upstream, target: string, edits: readonly Edit[]): void {
    if (way.session === undefined && upstream.knownEra === undefined) {
      void upstream.era(flow.context).then((verdict) => {
        if (flow.settled) return
        if (SallyportError.isInstance(verdict)) flow.fail(verdict)
        else this.#forward(flow, way, upstream, target, edits)
      })
      return
    }
    if (!way.speaks(upstream)) {
      const message = `does not speak ${flow.context.protocolVersion}`
      flow.fail(new UpstreamError('ERR_UPSTREAM_ERA', upstream.name, message, { retrySafe: true }))
      return
    }
    if (upstream.definition.retry !== undefined) this.allowRetry(flow, upstream, target, way.session)
    const { name, guard } = upstream
    forward(
      flow,
      { server: name, target, edits, carriers: way.carriers(upstream), guard },
      this.#options.interceptors,
    )
  }
}

function notFound(flow: Flow): void {
  const hint = 'call it on a single server: <gateway URL>/<server name>'
  const message = `${flow.method} is not available on the aggregated endpoint; ${hint}`
  flow.reject(flow.context.era === 'modern' ? 404 : 200, { code: RpcCode.methodNotFound, message })
}

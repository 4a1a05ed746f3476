import { SallyportError } from '@sallyport/core'
import type { Flow } from '../call/flow.ts'
import { forward, type Passage } from '../call/forward.ts'
import { refuseMethod, refuseParams, refuseUnknown } from '../call/refusals.ts'
import { withHeader } from '../call/rewrite-params.ts'
import type { LegacySession } from '../legacy/legacy-session.ts'
import { checkCall } from '../policy/check-call.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { UpstreamTable } from '../upstream/upstream-table.ts'
import { isRecord } from '../wire/client-message.ts'
import { encodeHeaderValue } from '../wire/header-value.ts'
import type { Edit } from '../wire/splice.ts'
import { AnnotatedCall } from './annotated-call.ts'
import { type AskerOptions, legacyAsker, modernAsker } from './askers.ts'
import type { CatalogEntry } from './catalog.ts'
import { envelopeOf } from './envelope.ts'
import { type ListKind, listOfKind, listOfMethod } from './list-kind.ts'
import { setLogLevel } from './log-level.ts'
import { answerList, type MergedListOptions } from './merged-list.ts'
import { mayBeShortened, publicName, splitPublicName } from './names.ts'
import type { Toolset } from './toolset.ts'
import { answerToolsetList } from './toolset-list.ts'
import { findByUri } from './uri-route.ts'
import type { Views } from './views.ts'
import type { Way } from './way.ts'

export interface AggregatorOptions extends MergedListOptions {
  readonly upstreams: UpstreamTable
  readonly views: Views
  readonly passage: Passage
  readonly perPrincipal: boolean
  /** Opens a subscription of the modern era on every server. */
  readonly listen: (flow: Flow) => void
}

/** Where calls on the aggregated endpoint and on toolsets go. One per gateway; what differs from caller to caller is an argument. */
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
      session,
    })
  }

  modern(flow: Flow): void {
    const { context } = flow
    this.#route(flow, {
      asker: () => modernAsker(context, envelopeOf(flow.message.params), this.#askerOptions),
      carriers: (upstream) => upstream,
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
    const { views, passage } = this.#options
    const { context } = flow
    const asker = modernAsker(context, envelopeOf(flow.message.params), this.#askerOptions)
    const upstreams = await views.of(context)
    const toolset = views.toolset(context)
    const gate = passage.gates?.policy?.gate
    const owners = new Map<string, Upstream | undefined>()
    // one after the other: the first answers fill the catalog for the rest
    for (const uri of uris) {
      const found = await new Promise<Upstream | undefined>((resolve) =>
        this.#ownerOf(uri, () => asker, toolset, upstreams, resolve),
      )
      const verdict =
        found === undefined ? undefined : await gate?.decide(context.principal, found.name, 'resource', uri)
      owners.set(uri, verdict === undefined || verdict.effect === 'allow' ? found : undefined)
    }
    return owners
  }

  #route(flow: Flow, way: Way): void {
    const { method } = flow
    const { views } = this.#options
    const list = listOfMethod(method)
    if (list !== undefined) {
      this.#list(flow, list, way)
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
        views.with(flow, (upstreams) => this.#byUri(flow, way, upstreams))
        return
      case 'completion/complete':
        this.#completion(flow, way)
        return
      case 'subscriptions/listen':
        if (way.session === undefined) this.#options.listen(flow)
        else refuseMethod(flow)
        return
      case 'ping':
        if (way.session === undefined) refuseMethod(flow)
        else flow.begin(undefined, undefined, () => flow.answer('{}'))
        return
      case 'logging/setLevel':
        this.#logLevel(flow, way)
        return
      default:
        this.#unknown(flow, way)
    }
  }

  #logLevel(flow: Flow, { session }: Way): void {
    const rates = this.#options.passage.gates?.rates
    if (session === undefined) refuseMethod(flow)
    else if (rates === undefined) setLogLevel(session, flow)
    else rates.take(flow, '', 'server', undefined, () => setLogLevel(session, flow))
  }

  #list(flow: Flow, list: ListKind, way: Way): void {
    const { views, passage } = this.#options
    const toolset = views.toolset(flow.context)
    const answer = () =>
      views.with(flow, (upstreams) => {
        if (toolset === undefined) answerList(flow, list, way, upstreams, this.#options)
        else answerToolsetList(flow, list, way, toolset, upstreams, this.#options)
      })
    const rates = passage.gates?.rates
    if (rates === undefined) answer()
    else rates.take(flow, '', 'server', undefined, answer)
  }

  #named(flow: Flow, way: Way, kind: 'tools' | 'prompts'): void {
    const { name } = flow.message.params
    if (typeof name !== 'string') {
      refuseParams(flow, 'params.name must be a string')
      return
    }
    this.#resolveName(flow, way, kind, name, (found) => {
      if (found instanceof Error) flow.fail(found)
      else if (found === undefined) refuseUnknown(flow)
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
    flow: Flow,
    way: Way,
    kind: 'tools' | 'prompts',
    name: string,
    done: (found: { upstream: Upstream; name: string } | undefined | Error) => void,
  ): void {
    const { upstreams, catalog, views } = this.#options
    const toolset = views.toolset(flow.context)
    if (toolset !== undefined) {
      const selected = toolset[kind].get(name)
      const chosen = selected === undefined ? undefined : upstreams.get(selected.server)
      done(
        selected === undefined || chosen === undefined
          ? undefined
          : { upstream: chosen, name: selected.name },
      )
      return
    }
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

  #byUri(flow: Flow, way: Way, upstreams: readonly Upstream[]): void {
    const { uri } = flow.message.params
    if (typeof uri !== 'string') {
      refuseParams(flow, 'params.uri must be a string')
      return
    }
    this.#ownerOf(uri, way.asker, this.#options.views.toolset(flow.context), upstreams, (found) => {
      if (flow.settled) return
      if (found === undefined) refuseUnknown(flow)
      else this.#forward(flow, way, found, uri, [])
    })
  }

  /** The server that a resource is read from, or that completes the variables of a template. */
  #ownerOf(
    uri: string,
    asker: Way['asker'],
    toolset: Toolset | undefined,
    upstreams: readonly Upstream[],
    done: (found: Upstream | undefined) => void,
  ): void {
    if (toolset === undefined) {
      findByUri(uri, asker, upstreams, this.#options, done)
      return
    }
    const owner = toolset.ownerOf(uri) ?? (uri.includes('{') ? toolset.ownerOfTemplate(uri) : undefined)
    done(upstreams.find(({ name }) => name === owner))
  }

  #completion(flow: Flow, way: Way): void {
    const { ref } = flow.message.params
    if (isRecord(ref) && ref['type'] === 'ref/prompt' && typeof ref['name'] === 'string') {
      this.#resolveName(flow, way, 'prompts', ref['name'], (found) => {
        if (found instanceof Error) flow.fail(found)
        else if (found === undefined) refuseUnknown(flow)
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
      refuseParams(flow, 'params.ref must name a prompt or a resource')
      return
    }
    const { views } = this.#options
    views.with(flow, (upstreams) => {
      this.#ownerOf(uri, way.asker, views.toolset(flow.context), upstreams, (found) => {
        if (flow.settled) return
        if (found === undefined) refuseUnknown(flow)
        else this.#forward(flow, way, found, uri, [])
      })
    })
  }

  /** A method that the gateway does not know goes through if its `params.name` tells the server. */
  #unknown(flow: Flow, way: Way): void {
    const { name } = flow.message.params
    const whole = this.#options.views.toolset(flow.context) === undefined
    const parts = whole && typeof name === 'string' ? splitPublicName(name) : undefined
    const upstream = parts === undefined ? undefined : this.#options.upstreams.byPart(parts.server)
    if (parts === undefined || upstream === undefined) {
      refuseMethod(flow)
      return
    }
    const { scan } = flow
    flow.headers = withHeader(flow.headers, 'mcp-name', encodeHeaderValue(parts.rest))
    this.#forward(flow, way, upstream, parts.rest, [
      [scan.nameStart, scan.nameEnd, JSON.stringify(parts.rest)],
    ])
  }

  #forward(flow: Flow, way: Way, upstream: Upstream, target: string, edits: readonly Edit[]): void {
    const ready = way.session !== undefined || upstream.knownEra !== undefined
    const policy = this.#options.passage.gates?.policy
    if (ready || policy === undefined) {
      this.#send(flow, way, upstream, target, edits)
      return
    }
    // what policy hides must not be told by what its server says, or does not say, about eras
    checkCall(flow, { server: upstream.name, target }, { policy, rates: undefined }, () =>
      this.#send(flow, way, upstream, target, edits),
    )
  }

  #send(flow: Flow, way: Way, upstream: Upstream, target: string, edits: readonly Edit[]): void {
    if (way.session === undefined && upstream.knownEra === undefined) {
      void upstream.era(flow.context).then((verdict) => {
        if (flow.settled) return
        if (SallyportError.isInstance(verdict)) flow.fail(verdict)
        else this.#send(flow, way, upstream, target, edits)
      })
      return
    }
    if (upstream.definition.retry !== undefined) this.allowRetry(flow, upstream, target, way.session)
    const { name, guard } = upstream
    const carriers = way.carriers(upstream)
    const memory = way.session && { memory: way.session }
    forward(flow, { server: name, target, edits, carriers, guard, ...memory }, this.#options.passage)
  }
}

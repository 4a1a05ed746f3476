import { type JsonObject, type ListedDefinition, SallyportError } from '@sallyport/core'
import type { Flow } from '../call/flow.ts'
import { refuseParams } from '../call/refusals.ts'
import { whenAll } from '../call/when-all.ts'
import { closestName } from '../config/closest-name.ts'
import { isShown } from '../policy/policy-gate.ts'
import { nameIn, nameMemberOf } from '../policy/policy-screen.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { suitsAfterAsking } from './candidates.ts'
import type { Asker, CatalogEntry } from './catalog.ts'
import { leftOut, takenIn } from './left-out.ts'
import type { ListKind } from './list-kind.ts'
import { META_UNAVAILABLE, type MergedListOptions, throughInterceptors } from './merged-list.ts'
import type { Selected, Toolset } from './toolset.ts'
import type { Way } from './way.ts'

/** What one server has of a kind, all pages of it, by its own names (or URIs). */
interface Offer {
  readonly server: string
  readonly definitions: ReadonlyMap<string, JsonObject>
  /** False if there is more than was read. */
  readonly complete: boolean
  readonly ttlMs: number
}

/** Chosen names that their server turned out not to have; each is told of once. */
const warned = new WeakMap<Toolset, Set<string>>()

/** Answers a list of a toolset, in one page. */
export function answerToolsetList(
  flow: Flow,
  list: ListKind,
  way: Way,
  toolset: Toolset,
  upstreams: readonly Upstream[],
  options: MergedListOptions,
): void {
  if (flow.message.params['cursor'] !== undefined) {
    refuseParams(flow, 'the cursor is not valid here; start again without one')
    return
  }
  const build = async () => {
    const chosen = toolset.serversOf(list.kind === 'resourceTemplates' ? 'resources' : list.kind)
    const unavailable: string[] = []
    const offers = await Promise.all(
      upstreams
        .filter(({ name }) => chosen.has(name))
        .map(async (upstream) => {
          const offer = await offerOf(upstream, list, way.asker(), options)
          if (!SallyportError.isInstance(offer)) {
            takenIn(upstream, list)
            return offer
          }
          unavailable.push(upstream.name)
          leftOut(upstream, list, offer, options.logger)
          return undefined
        }),
    )
    const found = offers.filter((offer) => offer !== undefined)
    const picked = list.named ? pickNamed(toolset, list, found, options) : pickByUri(toolset, list, found)
    const allowed = await permitted(flow, list, picked, options)
    const shown = await throughInterceptors(flow, list, allowed, options.interceptors)
    const ttlMs =
      found.length === 0 || unavailable.length > 0 ? 0 : Math.min(...found.map((offer) => offer.ttlMs))
    const modern = { resultType: 'complete', ttlMs, cacheScope: 'private' }
    const result = {
      [list.kind]: shown.map(({ definition }) => definition),
      ...(flow.context.era === 'modern' && modern),
      ...(unavailable.length > 0 && { _meta: { [META_UNAVAILABLE]: unavailable.sort() } }),
    }
    flow.answer(JSON.stringify(result))
  }
  flow.begin(undefined, undefined, () => {
    build().catch((error: unknown) => flow.fail(error))
  })
}

/** A definition of a toolset, and what its server calls it. */
interface Picked extends ListedDefinition {
  readonly name: string
}

async function offerOf(
  upstream: Upstream,
  list: ListKind,
  asker: Asker,
  { catalog, listMs }: MergedListOptions,
): Promise<Offer | undefined | SallyportError> {
  const suited = await suitsAfterAsking(upstream, asker.context, list.capability, listMs)
  if (SallyportError.isInstance(suited)) return suited
  const definitions = new Map<string, JsonObject>()
  const take = ({ definitions: page, names }: CatalogEntry) => {
    for (const definition of page) {
      const shown = nameIn(definition, nameMemberOf(list))
      const key = list.named ? names.get(shown) : shown
      if (key !== undefined && !definitions.has(key)) definitions.set(key, definition)
    }
  }
  let ttlMs = Number.POSITIVE_INFINITY
  const end = !suited
    ? undefined
    : await catalog.find(asker, upstream.name, list, (entry) => {
        take(entry)
        ttlMs = Math.min(ttlMs, entry.ttlMs)
        return entry.nextCursor === undefined ? true : undefined
      })
  if (SallyportError.isInstance(end)) return end
  const complete = !suited || end === true
  return { server: upstream.name, definitions, complete, ttlMs: Number.isFinite(ttlMs) ? ttlMs : 0 }
}

function pickNamed(
  toolset: Toolset,
  list: ListKind,
  offers: readonly Offer[],
  options: MergedListOptions,
): readonly Picked[] {
  const chosen = list.kind === 'tools' ? toolset.tools : toolset.prompts
  const byServer = new Map(offers.map((offer) => [offer.server, offer]))
  return [...chosen.values()].flatMap((selected) => {
    const offer = byServer.get(selected.server)
    const definition = offer?.definitions.get(selected.name)
    if (definition !== undefined)
      return [{ server: selected.server, name: selected.name, definition: selected.show(definition) }]
    if (offer?.complete === true) warnOnce(toolset, list, selected, offer, options)
    return []
  })
}

function pickByUri(toolset: Toolset, list: ListKind, offers: readonly Offer[]): readonly Picked[] {
  return offers.flatMap(({ server, definitions }) =>
    [...definitions]
      .filter(([uri]) =>
        list.kind === 'resources' ? toolset.showsResource(server, uri) : toolset.showsTemplate(server, uri),
      )
      .map(([name, definition]) => ({ server, name, definition })),
  )
}

async function permitted(
  { context }: Flow,
  list: ListKind,
  picked: readonly Picked[],
  { filter }: MergedListOptions,
): Promise<readonly Picked[]> {
  if (filter === undefined) return picked
  const verdicts = picked.flatMap(({ server, name }) =>
    filter.decide(context.principal, server, list, [name]),
  )
  return whenAll(verdicts, (decided) => picked.filter((_, index) => isShown(decided[index])))
}

/** A server may be of another version tomorrow, so a name that it does not have is no mistake in the configuration yet. */
function warnOnce(
  toolset: Toolset,
  list: ListKind,
  { server, name }: Selected,
  { definitions }: Offer,
  { logger }: MergedListOptions,
): void {
  const told = warned.get(toolset) ?? new Set<string>()
  warned.set(toolset, told)
  const key = JSON.stringify([list.kind, server, name])
  if (told.has(key)) return
  told.add(key)
  const meant = closestName(name, definitions.keys())
  logger.warn('a toolset names something that its server does not list', {
    toolset: toolset.name,
    server,
    list: list.method,
    name,
    ...(meant !== undefined && { didYouMean: meant }),
  })
}

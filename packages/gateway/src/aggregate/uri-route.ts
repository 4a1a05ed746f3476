import { SallyportError } from '@sallyport/core'
import type { Upstream } from '../upstream/upstream.ts'
import type { UpstreamTable } from '../upstream/upstream-table.ts'
import { suitsAfterAsking } from './candidates.ts'
import type { Asker, Catalog, CatalogEntry } from './catalog.ts'
import { listOfKind } from './list-kind.ts'

export interface UriRouteOptions {
  readonly upstreams: UpstreamTable
  readonly catalog: Catalog
}

/**
 * Resource URIs keep their spelling on the aggregated endpoint: clients act on their scheme, and results hold them in many
 * places. The server is found by what servers list: the URI itself first, then templates, in the order of the registry.
 * With one server that has resources, there is nothing to find.
 */
export function findByUri(
  uri: string,
  asker: () => Asker,
  options: UriRouteOptions,
  done: (found: Upstream | undefined) => void,
): void {
  void find(uri, asker(), options).then(done)
}

async function find(uri: string, asker: Asker, options: UriRouteOptions): Promise<Upstream | undefined> {
  const candidates = await withResources(asker, options.upstreams)
  if (candidates.length <= 1) return candidates[0]
  const listed = await entries(candidates, asker, options.catalog, 'resources')
  for (const [upstream, entry] of listed)
    if (entry.definitions.some((definition) => definition['uri'] === uri)) return upstream
  const templates = await entries(candidates, asker, options.catalog, 'resourceTemplates')
  for (const [upstream, entry] of templates) {
    if (
      entry.definitions.some(
        ({ uriTemplate }) => typeof uriTemplate === 'string' && matches(uriTemplate, uri),
      )
    )
      return upstream
  }
  // links in results may name what no list shows; the server whose resources share the scheme is the best guess
  const scheme = uri.slice(0, uri.indexOf(':') + 1)
  const sameScheme = [...listed, ...templates].filter(([, entry]) =>
    entry.definitions.some((it) => String(it['uri'] ?? it['uriTemplate']).startsWith(scheme)),
  )
  return sameScheme[0]?.[0]
}

async function withResources(asker: Asker, upstreams: UpstreamTable): Promise<readonly Upstream[]> {
  const all = upstreams.all()
  const suited = await Promise.all(
    all.map((upstream) => suitsAfterAsking(upstream, asker.context.era, 'resources')),
  )
  return all.filter((_, index) => suited[index] === true)
}

async function entries(
  upstreams: readonly Upstream[],
  asker: Asker,
  catalog: Catalog,
  kind: 'resources' | 'resourceTemplates',
): Promise<readonly (readonly [Upstream, CatalogEntry])[]> {
  const got = await Promise.all(
    upstreams.map((upstream) => catalog.get(asker, upstream.name, listOfKind(kind))),
  )
  return upstreams.flatMap((upstream, index) => {
    const entry = got[index]
    return entry === undefined || SallyportError.isInstance(entry) ? [] : [[upstream, entry] as const]
  })
}

/** A URI template of RFC 6570 as a pattern: an expression stands for one or more characters. */
export function matches(template: string, uri: string): boolean {
  let rest = uri
  const literals = template.split(/\{[^{}]*\}/)
  const [first = '', ...others] = literals
  if (!rest.startsWith(first)) return false
  rest = rest.slice(first.length)
  if (others.length === 0) return rest === ''
  const last = others.pop() ?? ''
  for (const literal of others) {
    const at = literal === '' ? 0 : rest.indexOf(literal, 1)
    if (at < 0) return false
    rest = rest.slice(at + literal.length)
  }
  return rest.length > last.length && rest.endsWith(last)
}

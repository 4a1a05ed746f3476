import { type JsonObject, SallyportError } from '@sallyport/core'
import type { Upstream } from '../upstream/upstream.ts'
import { suitsAfterAsking } from './candidates.ts'
import type { Asker, Catalog } from './catalog.ts'
import { listOfKind } from './list-kind.ts'

export interface UriRouteOptions {
  readonly catalog: Catalog
  /** How long a server may hold up a search. */
  readonly listMs: number
}

/**
 * The one of `upstreams` that a resource is read from. Resource URIs keep their spelling on the aggregated endpoint: clients act on their scheme, and results hold them in many
 * places. The server is found by what servers list: the URI itself first, then templates, in the order of the registry.
 * With one server that has resources, there is nothing to find.
 */
export function findByUri(
  uri: string,
  asker: () => Asker,
  upstreams: readonly Upstream[],
  options: UriRouteOptions,
  done: (found: Upstream | undefined) => void,
): void {
  void find(uri, asker(), upstreams, options).then(done)
}

async function find(
  uri: string,
  asker: Asker,
  upstreams: readonly Upstream[],
  options: UriRouteOptions,
): Promise<Upstream | undefined> {
  const candidates = await withResources(asker, upstreams, options)
  if (candidates.length <= 1) return candidates[0]
  const scheme = uri.slice(0, uri.indexOf(':') + 1)
  const sameScheme = new Set<Upstream>()
  /** The first server, in the order of the registry, that lists something which fits; later ones are not waited for. */
  const first = async (
    kind: 'resources' | 'resourceTemplates',
    fits: (definition: JsonObject) => boolean,
  ): Promise<Upstream | undefined> => {
    const searches = candidates.map((upstream) =>
      options.catalog.find(
        asker,
        upstream.name,
        listOfKind(kind),
        ({ definitions }) => {
          if (definitions.some((it) => startsWith(it['uri'] ?? it['uriTemplate'], scheme)))
            sameScheme.add(upstream)
          return definitions.some(fits) ? upstream : undefined
        },
        false,
      ),
    )
    for (const search of searches) {
      const found = await search
      if (found !== undefined && !SallyportError.isInstance(found)) return found
    }
    return undefined
  }
  const found =
    (await first('resources', (it) => it['uri'] === uri)) ??
    (await first('resourceTemplates', (it) => it['uriTemplate'] === uri)) ??
    (await first(
      'resourceTemplates',
      ({ uriTemplate }) => typeof uriTemplate === 'string' && matches(uriTemplate, uri),
    ))
  // links in results may name what no list shows; the server whose resources share the scheme is the best guess
  return found ?? candidates.find((upstream) => sameScheme.has(upstream))
}

function startsWith(value: unknown, text: string): boolean {
  return typeof value === 'string' && value.startsWith(text)
}

async function withResources(
  { context }: Asker,
  all: readonly Upstream[],
  { listMs }: UriRouteOptions,
): Promise<readonly Upstream[]> {
  const suited = await Promise.all(
    all.map(async (upstream) => {
      const failed = upstream.knownEra === undefined && upstream.hasFailed(context)
      const answer = suitsAfterAsking(upstream, context, 'resources', listMs)
      return failed ? false : await answer
    }),
  )
  return all.filter((_, index) => suited[index] === true)
}

/**
 * A URI template of RFC 6570 as a pattern. An expression stands for one or more characters; with one of the operators that
 * write a character of their own (`{?query}`, `{/path}`) it begins with that character or stands for nothing, which is how
 * undefined variables expand.
 */
export function matches(template: string, uri: string): boolean {
  const [first = '', ...rest] = template.split(/\{([?&#/.;]?)[^{}]*\}/)
  if (!uri.startsWith(first)) return false
  let position = first.length
  /** Whether an expression came last: what follows may stand at `position` or behind it. */
  let open = false
  for (let index = 0; index < rest.length; index += 2) {
    const operator = rest[index] ?? ''
    const literal = rest[index + 1] ?? ''
    if (!open && (operator === '' || uri[position] === operator)) {
      open = true
      position++
    }
    const isLast = index + 2 === rest.length
    if (literal === '' && !isLast) continue
    const at = isLast ? uri.length - literal.length : open ? uri.indexOf(literal, position) : position
    if (at < position || (at > position && !open) || !uri.startsWith(literal, at)) return false
    position = at + literal.length
    open = false
  }
  return position === uri.length
}

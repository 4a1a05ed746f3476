/**
 * What a client has called: the aggregated endpoint (absent), one server by its name, or a toolset as `toolsets/<name>`. The
 * name of a server holds no slash, so the three cannot be taken for each other.
 */
export type Endpoint = string | undefined

const TOOLSETS = 'toolsets/'

export function isOneServer(endpoint: Endpoint): endpoint is string {
  return endpoint !== undefined && !endpoint.startsWith(TOOLSETS)
}

export function toolsetEndpoint(name: string): string {
  return TOOLSETS + name
}

/** Name of the toolset, if it is one. */
export function toolsetOf(endpoint: Endpoint): string | undefined {
  return endpoint?.startsWith(TOOLSETS) === true ? endpoint.slice(TOOLSETS.length) : undefined
}

/** Path of an endpoint below that of the aggregated one. */
export function pathOf(endpoint: string): string {
  const toolset = toolsetOf(endpoint)
  return toolset === undefined ? encodeURIComponent(endpoint) : TOOLSETS + encodeURIComponent(toolset)
}

/** The endpoint that a path below that of the aggregated one may stand for; whether there is one, its reader has to know. */
export function endpointAt(path: string): string | undefined {
  const isToolset = path.startsWith(TOOLSETS)
  const segment = isToolset ? path.slice(TOOLSETS.length) : path
  if (segment === '' || segment.includes('/')) return undefined
  try {
    const name = decodeURIComponent(segment)
    if (isToolset) return toolsetEndpoint(name)
    return name.includes('/') ? undefined : name
  } catch {
    return undefined
  }
}

import type { Authenticator, Challenge } from '@sallyport/core'

const WELL_KNOWN = '/.well-known/oauth-protected-resource'

/** Path of the metadata of a resource: the well-known name goes before the resource's own path (RFC 9728 section 3.1). */
function metadataPath(resourcePath: string): string {
  return WELL_KNOWN + (resourcePath === '/' ? '' : resourcePath)
}

/** URL of the metadata of a resource; `undefined` if there is nothing that it could say. */
export function metadataUrl(resource: string, { metadata }: Authenticator): string | undefined {
  if (metadata === undefined) return undefined
  const { origin, pathname } = new URL(resource)
  return origin + metadataPath(pathname)
}

/** The resource path that a metadata request asks about. */
export function resourcePathOf(path: string): string | undefined {
  if (path === WELL_KNOWN) return '/'
  return path.startsWith(`${WELL_KNOWN}/`) ? path.slice(WELL_KNOWN.length) : undefined
}

/** Protected resource metadata (RFC 9728 section 2). */
export function metadataJson(
  resource: string,
  name: string,
  authenticator: Authenticator,
): string | undefined {
  const { metadata } = authenticator
  if (metadata === undefined) return undefined
  return JSON.stringify({
    resource,
    authorization_servers: metadata.authorizationServers,
    bearer_methods_supported: ['header'],
    resource_name: name,
    ...(metadata.scopesSupported !== undefined && { scopes_supported: metadata.scopesSupported }),
  })
}

/** The `WWW-Authenticate` header of a refusal (RFC 6750 section 3, RFC 9728 section 5.1). */
export function challengeHeader(challenge: Challenge, metadata: string | undefined): string {
  const parameters = [
    challenge.error === undefined ? [] : [`error="${challenge.error}"`],
    challenge.description === undefined ? [] : [`error_description="${quotable(challenge.description)}"`],
    challenge.scopes === undefined ? [] : [`scope="${challenge.scopes.map(quotable).join(' ')}"`],
    metadata === undefined ? [] : [`resource_metadata="${metadata}"`],
  ].flat()
  return parameters.length === 0 ? 'Bearer' : `Bearer ${parameters.join(', ')}`
}

/** What RFC 6750 section 3 allows inside the quotes. */
function quotable(text: string): string {
  return text.replaceAll(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, "'")
}

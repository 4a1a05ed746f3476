import type { ServerFacts } from '../../upstream/era.ts'
import { META_SERVER_INFO, MODERN_VERSIONS } from '../../wire/protocol.ts'

/**
 * The result of `server/discover` for a server that has answered `initialize` (2026-07-28 server/discover). How long that
 * stays true, and for whom, is not known.
 */
export function discoverResult({ capabilities, instructions, serverInfo }: ServerFacts): string {
  return JSON.stringify({
    resultType: 'complete',
    supportedVersions: MODERN_VERSIONS,
    capabilities: modernCapabilities(capabilities),
    ...(instructions !== undefined && { instructions }),
    ttlMs: 0,
    cacheScope: 'private',
    ...(serverInfo !== undefined && { _meta: { [META_SERVER_INFO]: serverInfo } }),
  })
}

/** Tasks of the two eras are not the same thing. */
export function modernCapabilities(
  capabilities: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const { tasks: _, ...kept } = capabilities
  return kept
}

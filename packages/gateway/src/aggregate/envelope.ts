import type { JsonObject } from '@sallyport/core'
import { isJsonObject } from '../call/interceptor-phases.ts'
import { META_CAPABILITIES, META_CLIENT_INFO, META_VERSION } from '../wire/protocol.ts'

/** The per-request protocol fields of a modern request, for requests that the gateway makes on the caller's behalf. */
export function envelopeOf(params: Readonly<Record<string, unknown>>): JsonObject {
  const meta = params['_meta']
  if (!isJsonObject(meta)) return {}
  const kept = [META_VERSION, META_CLIENT_INFO, META_CAPABILITIES].flatMap((key) => {
    const value = meta[key]
    return value === undefined ? [] : [[key, value] as const]
  })
  return Object.fromEntries(kept)
}

import { principalKey } from '@sallyport/core'
import type { Call } from '../../call/call.ts'
import { canonicalJson } from '../../wire/canonical-json.ts'
import { isRecord, parseJson } from '../../wire/client-message.ts'
import { LOG_LEVELS, META_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL } from '../../wire/protocol.ts'

type Members = Readonly<Record<string, unknown>>

/** What a request says of its client. In the legacy era that is said once, when a session is opened. */
export interface RequestEnvelope {
  readonly capabilities: Members
  /** Name and version of the client, if it gave them. */
  readonly clientInfo: Members | undefined
  /** The least important level of log messages that the client wants with this request; absent: none at all. */
  readonly logLevel: string | undefined
}

const TASKS = 'io.modelcontextprotocol/tasks'

/** Reads `params._meta`. A log level that does not exist is a mistake of the client (2026-07-28 server/utilities/logging). */
export function readEnvelope({ bytes, scan }: Call): RequestEnvelope | 'unknown log level' {
  const meta = scan.metaStart < 0 ? undefined : parseJson(bytes.subarray(scan.metaStart, scan.metaEnd))
  if (!isRecord(meta)) return { capabilities: {}, clientInfo: undefined, logLevel: undefined }
  const { [META_CAPABILITIES]: capabilities, [META_CLIENT_INFO]: clientInfo, [META_LOG_LEVEL]: level } = meta
  if (level !== undefined && (typeof level !== 'string' || !LOG_LEVELS.includes(level)))
    return 'unknown log level'
  return {
    capabilities: isRecord(capabilities) ? capabilities : {},
    clientInfo: isRecord(clientInfo) ? clientInfo : undefined,
    logLevel: level,
  }
}

/** Equal for requests that can share a session with the server: of one caller, with one client, that can answer the same. */
export function sessionKey({ context }: Call, { capabilities, clientInfo }: RequestEnvelope): string {
  return canonicalJson([principalKey(context.principal), context.protocolVersion, capabilities, clientInfo])
}

/**
 * The same capabilities as `initialize` declares them. Tasks of the two eras are not the same thing, and news of roots has no
 * message in the modern era.
 */
export function legacyCapabilities({ capabilities }: RequestEnvelope): Members {
  const { tasks: _, roots, extensions, ...kept } = capabilities
  const shared = isRecord(extensions) ? Object.entries(extensions).filter(([name]) => name !== TASKS) : []
  return {
    ...kept,
    ...(roots !== undefined && { roots: {} }),
    ...(shared.length > 0 && { extensions: Object.fromEntries(shared) }),
  }
}

/** A server may ask a client that declared one of these something. */
export function answersQuestions(capabilities: Members): boolean {
  return 'sampling' in capabilities || 'elicitation' in capabilities || 'roots' in capabilities
}

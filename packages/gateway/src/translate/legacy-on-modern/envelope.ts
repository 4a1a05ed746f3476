import { isRecord } from '../../wire/client-message.ts'
import {
  LATEST_MODERN,
  META_CAPABILITIES,
  META_CLIENT_INFO,
  META_LOG_LEVEL,
  META_SERVER_INFO,
  META_SUBSCRIPTION,
  META_VERSION,
} from '../../wire/protocol.ts'

/** Reserved `_meta` keys of 2026-07-28 that the gateway writes in requests and takes out of what a legacy client gets. */
const RESERVED: ReadonlySet<string> = new Set([
  META_VERSION,
  META_CAPABILITIES,
  META_CLIENT_INFO,
  META_LOG_LEVEL,
  META_SERVER_INFO,
  META_SUBSCRIPTION,
])

export function isReservedMeta(name: string): boolean {
  return RESERVED.has(name)
}

/** What a client said of itself in `initialize`, as every request to a server of the modern era has to repeat it. */
export interface ClientIntroduction {
  readonly capabilities: Readonly<Record<string, unknown>>
  readonly clientInfo: unknown
}

/** The members of `_meta` as JSON text, without braces (2026-07-28 basic, "Per-request protocol fields"). */
export function envelopeText(client: ClientIntroduction, logLevel?: string): string {
  const text = JSON.stringify(envelope(client, logLevel))
  return text.slice(1, -1)
}

export function envelope(
  { capabilities, clientInfo }: ClientIntroduction,
  logLevel?: string,
): Readonly<Record<string, unknown>> {
  return {
    [META_VERSION]: LATEST_MODERN,
    [META_CAPABILITIES]: capabilities,
    ...(isImplementation(clientInfo) && { [META_CLIENT_INFO]: clientInfo }),
    ...(logLevel !== undefined && { [META_LOG_LEVEL]: logLevel }),
  }
}

/**
 * Capabilities of a legacy client in modern terms: tasks of 2025-11-25 are another thing than the extension of that name, and
 * changes of roots are not announced any more.
 */
export function modernCapabilities(declared: unknown): Readonly<Record<string, unknown>> {
  if (!isRecord(declared)) return {}
  const { tasks: _tasks, roots, ...rest } = declared
  return { ...rest, ...(roots !== undefined && { roots: {} }) }
}

/** Servers check it, so one that lacks what it has to have is left out; it is optional. */
function isImplementation(value: unknown): boolean {
  return isRecord(value) && typeof value['name'] === 'string' && typeof value['version'] === 'string'
}

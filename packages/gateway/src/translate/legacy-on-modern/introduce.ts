import { isRecord } from '../../wire/client-message.ts'
import { META_SERVER_INFO, MODERN_VERSIONS } from '../../wire/protocol.ts'
import type { ListenFilter } from './listen-call.ts'

/** A server as it answered `server/discover`, for legacy clients. */
export interface Introduced {
  /** The result of `initialize`. */
  readonly result: Readonly<Record<string, unknown>>
  readonly capabilities: Readonly<Record<string, unknown>>
  readonly announces: Pick<ListenFilter, 'tools' | 'prompts' | 'resources'>
  readonly subscribes: boolean
  readonly logs: boolean
}

const TASKS = 'io.modelcontextprotocol/tasks'

/** `undefined` if the answer is none of the modern era. */
export function introduce(
  discovered: Readonly<Record<string, unknown>>,
  protocolVersion: string,
  server: string,
): Introduced | undefined {
  const { supportedVersions, instructions, _meta } = discovered
  if (
    Array.isArray(supportedVersions) &&
    !supportedVersions.some((it) => MODERN_VERSIONS.includes(String(it)))
  )
    return undefined
  const capabilities = legacyCapabilities(discovered['capabilities'])
  const info = isRecord(_meta) ? _meta[META_SERVER_INFO] : undefined
  const member = (name: string, flag: string) => {
    const capability = capabilities[name]
    return isRecord(capability) && capability[flag] === true
  }
  return {
    result: {
      protocolVersion,
      capabilities,
      // a server need not say who it is (2026-07-28 basic, "Per-response protocol fields"), in the legacy era it has to
      serverInfo: isRecord(info) ? info : { name: server, version: '' },
      ...(typeof instructions === 'string' && { instructions }),
    },
    capabilities,
    announces: {
      tools: member('tools', 'listChanged'),
      prompts: member('prompts', 'listChanged'),
      resources: member('resources', 'listChanged'),
    },
    subscribes: member('resources', 'subscribe'),
    logs: capabilities['logging'] !== undefined,
  }
}

/** Everything but tasks, which exist in both eras and are not the same. */
function legacyCapabilities(declared: unknown): Readonly<Record<string, unknown>> {
  if (!isRecord(declared)) return {}
  const { tasks: _tasks, extensions, ...rest } = declared
  if (!isRecord(extensions)) return rest
  const kept = Object.entries(extensions).filter(([name]) => name !== TASKS)
  return kept.length === 0 ? rest : { ...rest, extensions: Object.fromEntries(kept) }
}

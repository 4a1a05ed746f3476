import { randomUUID } from 'node:crypto'
import { isRecord } from '../../wire/client-message.ts'
import { isReservedMeta } from './envelope.ts'

/** One request of a server inside an `input_required` result (2026-07-28 basic/patterns/mrtr, "InputRequests"). */
export interface Question {
  /** The server's name for it. */
  readonly key: string
  readonly method: string
  /** As a legacy client knows them. */
  readonly params: Readonly<Record<string, unknown>> | undefined
  /** Of an elicitation in URL mode: what the client will be told under this id once it is over. */
  readonly elicitationId: string | undefined
}

/** First revision that has elicitation modes (2025-11-25 client/elicitation). */
const MODES_SINCE = '2025-11-25'

/**
 * Reads one question for a client with these capabilities. A text says why it cannot be asked: `broken` if the server may not
 * ask such a thing at all, `undeclared` if it may not ask this client.
 */
export function readQuestion(
  key: string,
  value: unknown,
  capabilities: Readonly<Record<string, unknown>>,
  protocolVersion: string,
): Question | { readonly broken: string } | { readonly undeclared: string } {
  const method = isRecord(value) ? value['method'] : undefined
  const params = isRecord(value) && isRecord(value['params']) ? value['params'] : undefined
  if (method === 'roots/list') {
    if (capabilities['roots'] === undefined) return { undeclared: 'roots' }
    return { key, method, params: params && legacyParams(params), elicitationId: undefined }
  }
  if (method !== 'sampling/createMessage' && method !== 'elicitation/create')
    return { broken: `the input request "${key}" is of no kind that the protocol knows` }
  if (params === undefined) return { broken: `the input request "${key}" has no params` }
  if (method === 'sampling/createMessage') {
    const missing = missingForSampling(params, capabilities['sampling'])
    if (missing !== undefined) return { undeclared: missing }
    return { key, method, params: legacyParams(params), elicitationId: undefined }
  }
  const isUrl = params['mode'] === 'url'
  const missing = missingForElicitation(isUrl, capabilities['elicitation'])
  if (missing !== undefined) return { undeclared: missing }
  // 2025-11-25 requires an id in URL mode, 2026-07-28 has none
  const given = params['elicitationId']
  const elicitationId = !isUrl ? undefined : typeof given === 'string' ? given : randomUUID()
  const { mode, ...rest } = legacyParams(params)
  const shown = {
    ...(mode !== undefined && protocolVersion >= MODES_SINCE && { mode }),
    ...rest,
    ...(elicitationId !== undefined && { elicitationId }),
  }
  return { key, method, params: shown, elicitationId }
}

function missingForSampling(
  params: Readonly<Record<string, unknown>>,
  declared: unknown,
): string | undefined {
  if (!isRecord(declared)) return 'sampling'
  const wantsTools = params['tools'] !== undefined || params['toolChoice'] !== undefined
  return wantsTools && declared['tools'] === undefined ? 'sampling.tools' : undefined
}

/** An empty declaration means form mode (2026-07-28 client/elicitation, "Capabilities"). */
function missingForElicitation(isUrl: boolean, declared: unknown): string | undefined {
  if (!isRecord(declared)) return 'elicitation'
  if (isUrl) return declared['url'] === undefined ? 'elicitation.url' : undefined
  return declared['form'] === undefined && declared['url'] !== undefined ? 'elicitation.form' : undefined
}

function legacyParams(params: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { _meta, ...rest } = params
  if (!isRecord(_meta)) return rest
  // a progress token would have to be answered for: nobody upstream takes progress any more
  const kept = Object.entries(_meta).filter(([name]) => !isReservedMeta(name) && name !== 'progressToken')
  return kept.length === 0 ? rest : { ...rest, _meta: Object.fromEntries(kept) }
}

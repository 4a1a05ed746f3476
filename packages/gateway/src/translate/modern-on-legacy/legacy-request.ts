import { createHash } from 'node:crypto'
import { principalKey } from '@sallyport/core'
import type { Call } from '../../call/call.ts'
import { canonicalJson } from '../../wire/canonical-json.ts'
import { isRecord, parseJson } from '../../wire/client-message.ts'
import { objectMembers, withoutMembers } from '../../wire/object-members.ts'
import { META_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, META_VERSION } from '../../wire/protocol.ts'
import { type MessageScan, scanMessage } from '../../wire/scan-message.ts'
import { type Edit, splice } from '../../wire/splice.ts'

const ENVELOPE: ReadonlySet<string> = new Set([
  META_VERSION,
  META_CAPABILITIES,
  META_CLIENT_INFO,
  META_LOG_LEVEL,
])
const ROUNDS: ReadonlySet<string> = new Set(['inputResponses', 'requestState'])

export interface ScannedMessage {
  readonly bytes: Buffer
  readonly scan: MessageScan
}

/**
 * The request as a server of the legacy era gets it: without what belongs to the modern one, under an id (and progress
 * token) of its own, because callers' ids may be equal and a session carries many of them. Everything else stays as it was written.
 */
export function legacyRequest(call: Call, id: number): ScannedMessage {
  const { bytes, scan, edits } = touchesMeta(call) ? applied(call) : call
  const changes: Edit[] = [...edits, [scan.idStart, scan.idEnd, String(id)]]
  if (scan.tokenStart >= 0) changes.push([scan.tokenStart, scan.tokenEnd, String(id)])
  const text = bytes.toString('latin1')
  changes.push(...without(text, scan.metaStart, ENVELOPE))
  if (scan.stateStart >= 0 || scan.responsesStart >= 0)
    changes.push(...without(text, scan.paramsStart, ROUNDS))
  return scanned(splice(bytes, ...changes))
}

/** Equal for two requests that ask for the same; what may differ from one round to the next is left out. */
export function requestDigest(method: string, request: Buffer): string {
  const value = parseJson(request)
  const params = isRecord(value) && isRecord(value['params']) ? value['params'] : {}
  const { _meta: _, inputResponses: __, requestState: ___, ...asked } = params
  return createHash('sha256')
    .update(canonicalJson([method, asked]))
    .digest('base64url')
}

/** Who may show a state, and to which server. */
export function stateOwner({ context }: Pick<Call, 'context'>, server: string): string {
  return JSON.stringify([principalKey(context.principal), server])
}

/** The request with the edits that are to be made before a server gets it. */
export function edited({ bytes, edits }: Call): Buffer {
  return edits.length === 0 ? bytes : splice(bytes, ...edits)
}

export function scanned(bytes: Buffer): ScannedMessage {
  const scan = scanMessage(bytes.toString('latin1'))
  if (scan === undefined) throw new TypeError('a message that was edited cannot be scanned')
  return { bytes, scan }
}

function applied(call: Call): ScannedMessage & { readonly edits: readonly Edit[] } {
  return { ...scanned(edited(call)), edits: [] }
}

/** An edit of what is to be edited again: the members of `_meta`, or all of `params`. */
function touchesMeta({ edits, scan }: Call): boolean {
  return edits.some(([start, end]) => start < scan.metaEnd && end > scan.metaStart)
}

function without(text: string, start: number, names: ReadonlySet<string>): readonly Edit[] {
  const members = objectMembers(text, start)
  return members === undefined ? [] : withoutMembers(members, ({ name }) => names.has(name))
}

import type { Call } from '../../call/call.ts'
import { encodeHeaderValue } from '../../wire/header-value.ts'
import { parseJson } from '../../wire/client-message.ts'
import { objectMembers, withoutMembers } from '../../wire/object-members.ts'
import { type MessageScan, scanMessage } from '../../wire/scan-message.ts'
import { type Edit, splice } from '../../wire/splice.ts'
import { isReservedMeta } from './envelope.ts'

export interface ModernRequest {
  readonly bytes: Buffer
  readonly scan: MessageScan
}

/**
 * Members that mean something else in the modern era, or nothing: answers to questions that nobody has asked, and the
 * wish for a task, which receivers without that capability have to ignore (2025-11-25 basic/utilities/tasks).
 */
const FOREIGN: ReadonlySet<string> = new Set(['inputResponses', 'requestState', 'task'])

/**
 * A legacy request as a server of the modern era takes it.
 *
 * @param id of its own, as JSON text
 * @param envelope members for `params._meta`, as JSON text without braces
 * @param round members for `params` that answer the questions of the round before, likewise; empty in the first
 */
export function modernRequest(call: Call, id: string, envelope: string, round: string): ModernRequest {
  const bytes = call.edits.length === 0 ? call.bytes : splice(call.bytes, ...call.edits)
  const scan = call.edits.length === 0 ? call.scan : scanned(bytes)
  const edits: Edit[] = [[scan.idStart, scan.idEnd, id]]
  const added = round === '' ? '' : `${round},`
  const meta = `${added}"_meta":{${envelope}}`
  if (scan.paramsStart < 0) edits.push([scan.methodEnd, scan.methodEnd, `,"params":{${meta}}`])
  else edits.push(...paramsEdits(bytes, scan, envelope, added, meta))
  const request = splice(bytes, ...edits)
  return { bytes: request, scan: scanned(request) }
}

function paramsEdits(
  bytes: Buffer,
  scan: MessageScan,
  envelope: string,
  added: string,
  meta: string,
): readonly Edit[] {
  const text = bytes.toString('latin1')
  const members = objectMembers(text, scan.paramsStart) ?? []
  const own = members.find(({ name }) => name === '_meta')
  const ownMembers = own === undefined ? undefined : objectMembers(text, own.valueStart)
  const inside = scan.paramsStart + 1
  // a `_meta` that is no object holds nothing that could be kept
  const drops = ({ name }: { name: string }) =>
    FOREIGN.has(name) || (name === '_meta' && ownMembers === undefined)
  const kept = members.filter((member) => !drops(member))
  const removed = withoutMembers(members, drops)
  if (own === undefined || ownMembers === undefined)
    return [[inside, inside, kept.length > 0 ? `${meta},` : meta], ...removed]
  const reserved = ({ name }: { name: string }) => isReservedMeta(name)
  const comma = ownMembers.every(reserved) ? '' : ','
  return [
    [inside, inside, added],
    [own.valueStart + 1, own.valueStart + 1, envelope + comma],
    ...withoutMembers(ownMembers, reserved),
    ...removed,
  ]
}

/** The header that repeats what a request is about (2026-07-28 streamable-http, "Standard Request Headers"). */
export function nameHeader({ method }: Call, { bytes, scan }: ModernRequest): readonly string[] {
  const [start, end] =
    method === 'tools/call' || method === 'prompts/get'
      ? [scan.nameStart, scan.nameEnd]
      : method === 'resources/read'
        ? [scan.uriStart, scan.uriEnd]
        : [-1, -1]
  const name = start < 0 ? undefined : parseJson(bytes.subarray(start, end))
  return typeof name === 'string' ? ['mcp-name', encodeHeaderValue(name)] : []
}

export function scanned(message: Buffer): MessageScan {
  const scan = scanMessage(message.toString('latin1'))
  if (scan === undefined) throw new TypeError('a message of the gateway itself cannot be scanned')
  return scan
}

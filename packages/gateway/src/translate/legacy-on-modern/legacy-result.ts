import { isRecord, parseJson } from '../../wire/client-message.ts'
import { type ObjectMember, objectMembers, withoutMembers } from '../../wire/object-members.ts'
import { type MessageScan, scanArray } from '../../wire/scan-message.ts'
import { type Edit, splice } from '../../wire/splice.ts'
import { isReservedMeta } from './envelope.ts'
import { needsWrapping, WRAPPED, wrappedSchema } from './output-schema.ts'

/** A response of the modern era and where its parts stand. */
export interface ModernResponse {
  readonly bytes: Buffer
  /** The bytes as latin1. */
  readonly text: string
  readonly scan: MessageScan
  /** The members of `result`. */
  readonly members: readonly ObjectMember[]
}

/** What is told of each tool on the way; false takes it out of the list. */
export type ToolVisitor = (definition: Readonly<Record<string, unknown>>) => boolean

/** Members that results have had since 2026-07-28 (basic, "ResultType"; server/utilities/caching). */
const MODERN_MEMBERS: ReadonlySet<string> = new Set(['resultType', 'ttlMs', 'cacheScope'])

/** `undefined` if the response has no result that is an object. */
export function readResult(bytes: Buffer, text: string, scan: MessageScan): ModernResponse | undefined {
  const members = scan.resultStart < 0 ? undefined : objectMembers(text, scan.resultStart)
  return members === undefined ? undefined : { bytes, text, scan, members }
}

export function resultTypeOf({ bytes, members }: ModernResponse): unknown {
  const member = members.find(({ name }) => name === 'resultType')
  // absent means complete (2026-07-28 basic, "ResultType")
  return member === undefined ? 'complete' : parseJson(bytes.subarray(member.valueStart, member.valueEnd))
}

/**
 * The response as a legacy client knows it. Everything that is not named here stays byte by byte.
 *
 * @param id of the client's request, as the client spelled it
 * @param wraps the structured content is wrapped even if it is an object, because the output schema was
 * @param visit sees every tool of a `tools/list`; absent for other methods
 */
export function legacyResult(
  response: ModernResponse,
  id: Uint8Array,
  wraps: boolean,
  visit?: ToolVisitor,
): Buffer {
  const { bytes, text, scan, members } = response
  const edits: Edit[] = [[scan.idStart, scan.idEnd, id]]
  const meta = members.find(({ name }) => name === '_meta')
  const metaMembers = meta === undefined ? undefined : objectMembers(text, meta.valueStart)
  const isEmptied = metaMembers !== undefined && metaMembers.every(({ name }) => isReservedMeta(name))
  for (const member of members) {
    if (member.name === 'structuredContent') edits.push(...contentEdits(text, member, wraps))
    else if (member.name === 'tools' && visit !== undefined)
      edits.push(...toolEdits(bytes, text, member, visit))
  }
  if (metaMembers !== undefined && !isEmptied)
    edits.push(...withoutMembers(metaMembers, ({ name }) => isReservedMeta(name)))
  const drops = ({ name }: ObjectMember) => MODERN_MEMBERS.has(name) || (name === '_meta' && isEmptied)
  // after the edits inside of values: what is put at the end of a value comes before what is taken away behind it
  edits.push(...withoutMembers(members, drops))
  return splice(bytes, ...edits)
}

function contentEdits(text: string, { valueStart, valueEnd }: ObjectMember, wraps: boolean): readonly Edit[] {
  if (!wraps && text[valueStart] === '{') return []
  return [
    [valueStart, valueStart, `{"${WRAPPED}":`],
    [valueEnd, valueEnd, '}'],
  ]
}

function toolEdits(
  bytes: Buffer,
  text: string,
  { valueStart, valueEnd }: ObjectMember,
  visit: ToolVisitor,
): readonly Edit[] {
  const places = scanArray(text.slice(valueStart, valueEnd)) ?? []
  const edits: Edit[] = []
  const kept: { readonly start: number; readonly end: number }[] = []
  let someDropped = false
  for (const [from, to] of places) {
    const place = { start: valueStart + from, end: valueStart + to }
    const definition = parseJson(bytes.subarray(place.start, place.end))
    if (isRecord(definition) && !visit(definition)) {
      someDropped = true
      continue
    }
    kept.push(place)
    if (isRecord(definition) && needsWrapping(definition['outputSchema']))
      edits.push(...schemaEdits(text, place.start, definition['outputSchema']))
  }
  if (!someDropped) return edits
  const parts = kept.map(({ start, end }) => {
    const inside = edits.filter(([from]) => from >= start && from < end)
    return splice(
      bytes.subarray(start, end),
      ...inside.map(([from, to, by]): Edit => [from - start, to - start, by]),
    )
  })
  const joined = parts.flatMap((part, index) => (index === 0 ? [part] : [Buffer.from(','), part]))
  return [[valueStart, valueEnd, Buffer.concat([Buffer.from('['), ...joined, Buffer.from(']')])]]
}

function schemaEdits(text: string, toolStart: number, schema: unknown): readonly Edit[] {
  const member = objectMembers(text, toolStart)?.find(({ name }) => name === 'outputSchema')
  return member === undefined
    ? []
    : [[member.valueStart, member.valueEnd, JSON.stringify(wrappedSchema(schema))]]
}

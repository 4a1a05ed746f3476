import type { TraceContext } from '@sallyport/core'
import { type ObjectMember, objectMembers } from './object-members.ts'
import type { MessageScan } from './scan-message.ts'
import type { Edit } from './splice.ts'

/**
 * Puts a trace context into the `params._meta` of a message (SEP-414). Members that are there are replaced, others are added at
 * the front; nothing else of the message changes. A `_meta` that is no object is left alone.
 */
export function traceEdits(bytes: Buffer, scan: MessageScan, trace: TraceContext): readonly Edit[] {
  const wanted = Object.entries(trace).filter(([, value]) => value !== undefined)
  const meta = JSON.stringify(Object.fromEntries(wanted))
  if (scan.paramsStart < 0) return [[scan.methodEnd, scan.methodEnd, `,"params":{"_meta":${meta}}`]]
  const text = bytes.toString('latin1')
  const params = objectMembers(text, scan.paramsStart)
  if (params === undefined) return []
  const place = named(params, '_meta')
  if (place === undefined) return [atFront(scan.paramsStart, `"_meta":${meta}`, params.length === 0)]
  const known = objectMembers(text, place.valueStart)
  if (known === undefined) return []
  const edits: Edit[] = []
  const missing: string[] = []
  for (const [name, value] of wanted) {
    const old = named(known, name)
    if (old === undefined) missing.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`)
    else edits.push([old.valueStart, old.valueEnd, JSON.stringify(value)])
  }
  if (missing.length > 0) edits.push(atFront(place.valueStart, missing.join(','), known.length === 0))
  return edits
}

/** The last one of this name counts, as for `JSON.parse`. */
function named(members: readonly ObjectMember[], wanted: string): ObjectMember | undefined {
  return members.findLast(({ name }) => name === wanted)
}

/** Behind the brace that opens the object at `start`. */
function atFront(start: number, members: string, isEmpty: boolean): Edit {
  return [start + 1, start + 1, isEmpty ? members : `${members},`]
}

import type { TraceContext } from '@sallyport/core'
import type { MessageScan } from '../wire/scan-message.ts'
import type { Edit } from '../wire/splice.ts'

const OPEN_BRACE = 123
const CLOSE_BRACE = 125

/**
 * Trace context as members of `params._meta` (SEP-414), for servers that have no headers. `undefined` if the message says it
 * already, or has a `_meta` that is no object.
 */
export function traceInMeta(trace: TraceContext, bytes: Buffer, scan: MessageScan): Edit | undefined {
  if (scan.hasTrace || (scan.metaStart >= 0 && bytes[scan.metaStart] !== OPEN_BRACE)) return undefined
  const members = JSON.stringify(trace).slice(1, -1)
  if (scan.metaStart >= 0) return intoObject(bytes, scan.metaStart, members)
  if (scan.paramsStart >= 0) return intoObject(bytes, scan.paramsStart, `"_meta":{${members}}`)
  return [scan.methodEnd, scan.methodEnd, `,"params":{"_meta":{${members}}}`]
}

function intoObject(bytes: Buffer, start: number, members: string): Edit {
  let next = start + 1
  while (bytes[next] === 32 || bytes[next] === 10 || bytes[next] === 13 || bytes[next] === 9) next++
  return [start + 1, start + 1, bytes[next] === CLOSE_BRACE ? members : `${members},`]
}

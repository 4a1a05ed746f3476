import type { Call } from '../../call/call.ts'
import { isRecord, parseJson } from '../../wire/client-message.ts'
import { objectMembers } from '../../wire/object-members.ts'
import { META_SERVER_INFO } from '../../wire/protocol.ts'

/** An `InputRequiredResult` (2026-07-28 basic/patterns/mrtr) as JSON text; `requests` are members of `inputRequests`. */
export function inputRequired(
  requests: readonly string[],
  state: string,
  serverInfo: Readonly<Record<string, unknown>> | undefined,
): string {
  const meta =
    serverInfo === undefined ? '' : `,"_meta":${JSON.stringify({ [META_SERVER_INFO]: serverInfo })}`
  const asked = `"inputRequests":{${requests.join(',')}}`
  return `{"resultType":"input_required",${asked},"requestState":${JSON.stringify(state)}${meta}}`
}

/** The answers in `params.inputResponses` by their keys, as they were written; `undefined` if it is no object of objects. */
export function inputResponses({ bytes, scan }: Call): ReadonlyMap<string, string> | undefined {
  if (scan.responsesStart < 0) return new Map()
  const value = parseJson(bytes.subarray(scan.responsesStart, scan.responsesEnd))
  if (!isRecord(value) || !Object.values(value).every(isRecord)) return undefined
  const members = objectMembers(bytes.toString('latin1'), scan.responsesStart) ?? []
  return new Map(
    members.map(({ name, valueStart, valueEnd }) => [name, bytes.toString('utf8', valueStart, valueEnd)]),
  )
}

import { isRecord } from '../wire/client-message.ts'
import { decodeHeaderValue } from '../wire/header-value.ts'
import { PARAM_PREFIX } from '../wire/param-headers.ts'

/**
 * The first `Mcp-Param-*` header whose value is not that of any argument (2026-07-28 streamable-http, "Custom Headers"). Which
 * argument a header repeats is in the schema of the tool, which only its server knows; but one that repeats none shows the
 * server something that is not in the message.
 */
export function strayParamHeader(headers: readonly string[], given: unknown): string | undefined {
  return headers.find((name, index) => index % 2 === 0 && isStray(name, headers[index + 1], given))
}

/** What the client said of its own arguments is not true of others. */
export function withoutParams(headers: readonly string[]): readonly string[] {
  const isParam = (at: number) => headers[at - (at % 2)]?.startsWith(PARAM_PREFIX) === true
  return headers.filter((_, at) => !isParam(at))
}

function isStray(name: string, value: string | undefined, given: unknown): boolean {
  if (!name.startsWith(PARAM_PREFIX) || value === undefined) return false
  const decoded = decodeHeaderValue(value)
  return decoded === undefined || !holds(given, decoded)
}

function holds(value: unknown, text: string): boolean {
  if (Array.isArray(value)) return value.some((each) => holds(each, text))
  if (isRecord(value)) return Object.values(value).some((each) => holds(each, text))
  return typeof value === 'string' ? value === text : JSON.stringify(value) === text && value !== null
}

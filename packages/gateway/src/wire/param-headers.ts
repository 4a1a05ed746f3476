import { isRecord } from './client-message.ts'
import { decodeHeaderValue, encodeHeaderValue } from './header-value.ts'

/** A parameter of a tool whose value HTTP requests repeat in a header (SEP-2243; 2026-07-28 server/tools, "x-mcp-header"). */
export interface ParamHeader {
  /** Name of the header in lower case, such as `mcp-param-region`. */
  readonly header: string
  /** Where the value stands: property names, from the arguments inwards. */
  readonly path: readonly string[]
  readonly type: 'string' | 'integer' | 'boolean' | 'number'
}

/** What the annotations of one tool come to. `fault` says which rule is broken: such a tool must not be shown to clients. */
export type ParamHeaderScan =
  | { readonly headers: readonly ParamHeader[]; readonly fault?: undefined }
  | { readonly headers?: undefined; readonly fault: string }

export const PARAM_PREFIX = 'mcp-param-'

const ANNOTATION = 'x-mcp-header'
/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const DECIMAL = /^-?\d+(?:\.\d+)?$/
/** Nobody means a header to repeat something that lies deeper; and how deep a schema goes is the server's choice. */
const MAX_PATH = 32
/** Keywords whose value is data: what looks like an annotation there is none. */
const DATA_KEYWORDS = new Set(['const', 'default', 'enum', 'example', 'examples', 'required', ANNOTATION])
/** Keywords whose members are schemas under names of the author's choice. */
const NAMED_SCHEMAS = new Set([
  '$defs',
  'definitions',
  'dependencies',
  'dependentSchemas',
  'patternProperties',
])

/**
 * The annotated parameters of a tool, by its `inputSchema` as the server listed it. An annotation counts only where a chain of
 * `properties` leads to it; anywhere else it spoils the tool (streamable-http, "Schema Extension").
 */
export function scanParamHeaders(inputSchema: unknown): ParamHeaderScan {
  const headers: ParamHeader[] = []
  const names = new Set<string>()
  // schemas of a hostile server may be nested deeper than a stack goes
  const open: { readonly schema: unknown; readonly path: readonly string[] | undefined }[] = [
    { schema: inputSchema, path: [] },
  ]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { schema, path } = next
    if (Array.isArray(schema)) {
      for (const element of schema) open.push({ schema: element, path: undefined })
      continue
    }
    if (!isRecord(schema)) continue
    if (Object.hasOwn(schema, ANNOTATION)) {
      const found = annotated(schema, path)
      if (typeof found === 'string') return { fault: found }
      if (names.has(found.header)) return { fault: `two parameters are to be repeated in ${found.header}` }
      names.add(found.header)
      headers.push(found)
    }
    for (const [keyword, value] of Object.entries(schema)) {
      if (typeof value !== 'object' || DATA_KEYWORDS.has(keyword)) continue
      const isProperties = keyword === 'properties'
      if (!isProperties && !NAMED_SCHEMAS.has(keyword)) open.push({ schema: value, path: undefined })
      else if (isRecord(value)) {
        const reachable = isProperties && path !== undefined && path.length < MAX_PATH
        for (const [name, inner] of Object.entries(value))
          open.push({ schema: inner, path: reachable ? [...path, name] : undefined })
      }
    }
  }
  return { headers }
}

/** Name and value in turn: the headers that a request with these arguments has to carry. */
export function paramHeadersFor(annotations: readonly ParamHeader[], args: unknown): string[] {
  const headers: string[] = []
  for (const { header, path } of annotations) {
    const text = textOf(valueAt(args, path))
    if (text !== undefined) headers.push(header, encodeHeaderValue(text))
  }
  return headers
}

/**
 * Why the headers of a request do not agree with its arguments; `undefined` if they do (streamable-http, "Server Behavior for
 * Custom Headers"). A header without a value in the body is refused as well: clients have to omit it, and whoever reads
 * only headers on the way would believe it.
 *
 * @param given the value of a header, by its name in lower case
 */
export function paramHeaderFault(
  annotations: readonly ParamHeader[],
  args: unknown,
  given: (header: string) => string | undefined,
): string | undefined {
  for (const { header, path, type } of annotations) {
    const value = valueAt(args, path)
    const text = textOf(value)
    const sent = given(header)
    if (sent === undefined) {
      if (text !== undefined) return `the ${header} header is missing`
      continue
    }
    const decoded = decodeHeaderValue(sent)
    if (decoded === undefined) return `the ${header} header is not valid Base64`
    const numeric = type === 'integer' || type === 'number'
    const equal =
      numeric && typeof value === 'number' && DECIMAL.test(decoded)
        ? Number(decoded) === value
        : decoded === text
    if (!equal) return `the ${header} header does not match params.arguments.${path.join('.')}`
  }
  return undefined
}

function annotated(
  schema: Readonly<Record<string, unknown>>,
  path: readonly string[] | undefined,
): ParamHeader | string {
  const { [ANNOTATION]: name, type } = schema
  if (path === undefined || path.length === 0) return `${ANNOTATION} stands where no property leads to it`
  const where = path.join('.')
  if (typeof name !== 'string' || !TOKEN.test(name)) return `${ANNOTATION} of ${where} is no header name`
  // the specification leaves `number` out, the official conformance suite and SDK take it: servers that use it want the header
  if (type !== 'string' && type !== 'integer' && type !== 'boolean' && type !== 'number')
    return `${ANNOTATION} of ${where} is on something other than a string, an integer or a boolean`
  return { header: PARAM_PREFIX + name.toLowerCase(), path, type }
}

function valueAt(args: unknown, path: readonly string[]): unknown {
  let value = args
  for (const name of path) {
    if (!isRecord(value) || !Object.hasOwn(value, name)) return undefined
    value = value[name]
  }
  return value
}

/** `undefined` for what no header repeats: `null`, what is not there, objects, and numbers that readers may round differently. */
function textOf(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return value
    case 'boolean':
      return String(value)
    case 'number':
      return Number.isInteger(value) && !Number.isSafeInteger(value) ? undefined : String(value)
    default:
      return undefined
  }
}

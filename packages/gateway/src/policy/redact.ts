import type {
  GatewayInterceptor,
  InterceptedAnswer,
  InterceptedCall,
  JsonObject,
  JsonValue,
  RequestContext,
} from '@sallyport/core'
import { z } from 'zod'
import { checkOptions } from '../config/check-options.ts'
import { strict } from '../config/plain-issues.ts'
import { isJsonObject } from '../call/interceptor-phases.ts'
import { segmentsOf } from './argument-rule.ts'
import { type OneOrMore, oneOrMorePatterns } from './rule.ts'
import { ToolPatterns } from './tool-patterns.ts'

export interface RedactOptions {
  /** Members with these names, at any depth; case does not count. Their whole value is replaced. */
  readonly keys?: readonly string[]
  /** JSON Pointers into `arguments` and `structuredContent`; the segment `*` stands for each element or member. */
  readonly paths?: readonly string[]
  /** What they match is replaced in every text. Each is run on texts that callers and servers choose, so it has to be one that never takes long. */
  readonly patterns?: readonly RegExp[]
  /** Default: `[redacted]`. */
  readonly replacement?: string
  /** Where. Default: in both. */
  readonly in?: readonly ('arguments' | 'results')[]
  /** Calls of these tools only (`<server>/<tool>`). Default: everything that is called, read or got. */
  readonly tools?: OneOrMore
}

/** Never replaced: what only the server understands, and binary content. */
const OPAQUE: ReadonlySet<string> = new Set(['requestState', 'blob', '_meta'])
const METHODS: ReadonlySet<string> = new Set([
  'tools/call',
  'prompts/get',
  'resources/read',
  'completion/complete',
])

/**
 * An interceptor that takes out what should not be passed on: of arguments before a server gets them, of results before
 * the client does. Text that is JSON, as results often hold it beside `structuredContent`, is read as such. Errors are looked
 * through as well. What a server says before its answer (progress, logs) is not seen by interceptors.
 */
export function redact(options: RedactOptions): GatewayInterceptor {
  checkOptions('redact', schema, options)
  const redaction = new Redaction(options)
  const places = options.in ?? ['arguments', 'results']
  const tools = options.tools === undefined ? undefined : new ToolPatterns(options.tools)
  const concerns = ({ method, server, params: { name } }: InterceptedCall) =>
    tools === undefined
      ? METHODS.has(method)
      : method === 'tools/call' && typeof name === 'string' && tools.match(server, name)
  return {
    name: 'redact',
    request(_context, call) {
      const given = call.params['arguments']
      if (!places.includes('arguments') || !isJsonObject(given) || !concerns(call)) return call
      const clean = redaction.at(redaction.value(given))
      return clean === given ? call : { ...call, params: { ...call.params, arguments: clean } }
    },
    ...(places.includes('results') && {
      response: {
        body: 'buffer' as const,
        handle: (_context: RequestContext, { call, response }: InterceptedAnswer) =>
          concerns(call) ? redaction.response(response) : response,
      },
    }),
  }
}

class Redaction {
  readonly #keys: ReadonlySet<string>
  readonly #paths: readonly (readonly string[])[]
  readonly #patterns: readonly RegExp[]
  readonly #replacement: string

  constructor({ keys = [], paths = [], patterns = [], replacement = '[redacted]' }: RedactOptions) {
    this.#keys = new Set(keys.map((key) => key.toLowerCase()))
    this.#paths = paths.map((path) => segmentsOf(path) ?? [])
    this.#patterns = patterns.map(
      ({ source, flags }) => new RegExp(source, `${flags.replaceAll(/[gy]/g, '')}g`),
    )
    this.#replacement = replacement
  }

  response(response: JsonObject): JsonObject {
    const { result, error } = response
    if (error !== undefined) {
      const clean = this.value(error)
      return clean === error ? response : { ...response, error: clean }
    }
    if (!isJsonObject(result)) return response
    const clean = this.value(result)
    if (!isJsonObject(clean)) return response
    const structured = clean['structuredContent']
    const pathed = structured === undefined ? structured : this.at(structured)
    const whole =
      pathed === structured || pathed === undefined ? clean : { ...clean, structuredContent: pathed }
    return whole === result ? response : { ...response, result: whole }
  }

  /** The value without what keys and patterns find; the same value if that is nothing. */
  value(value: JsonValue): JsonValue {
    if (typeof value === 'string') return this.#text(value)
    if (isList(value)) return this.#list(value)
    if (!isJsonObject(value)) return value
    const isBinary = value['type'] === 'image' || value['type'] === 'audio'
    let changed = false
    const members = Object.entries(value).map(([key, member]): [string, JsonValue] => {
      if (OPAQUE.has(key) || (isBinary && key === 'data')) return [key, member]
      const clean = this.#keys.has(key.toLowerCase()) ? this.#replacement : this.value(member)
      changed ||= clean !== member
      return [key, clean]
    })
    return changed ? Object.fromEntries(members) : value
  }

  /** The value without what stands at the paths; the same value if nothing does. */
  at(value: JsonValue): JsonValue {
    return this.#paths.reduce((current, segments) => this.#without(current, segments), value)
  }

  #list(values: readonly JsonValue[]): JsonValue {
    const clean = values.map((each) => this.value(each))
    return clean.some((each, index) => each !== values[index]) ? clean : values
  }

  #text(text: string): string {
    const inside = this.#insideJson(text) ?? text
    let clean = inside
    for (const pattern of this.#patterns) clean = clean.replaceAll(pattern, () => this.#replacement)
    return clean
  }

  #insideJson(text: string): string | undefined {
    if (this.#keys.size + this.#paths.length === 0 || !/^\s*[[{]/.test(text)) return undefined
    let parsed: unknown
    try {
      parsed = JSON.parse(text)
    } catch {
      return undefined
    }
    if (!isJsonObject(parsed) && !isJsonList(parsed)) return undefined
    const clean = this.at(this.value(parsed))
    return clean === parsed ? undefined : JSON.stringify(clean)
  }

  #without(value: JsonValue, segments: readonly string[]): JsonValue {
    const [segment, ...rest] = segments
    if (segment === undefined) return this.#replacement
    if (isList(value)) {
      const clean = value.map((each, index) =>
        segment === '*' || segment === String(index) ? this.#without(each, rest) : each,
      )
      return clean.some((each, index) => each !== value[index]) ? clean : value
    }
    if (!isJsonObject(value)) return value
    let changed = false
    const members = Object.entries(value).map(([key, member]): [string, JsonValue] => {
      const clean = segment === '*' || segment === key ? this.#without(member, rest) : member
      changed ||= clean !== member
      return [key, clean]
    })
    return changed ? Object.fromEntries(members) : value
  }
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value)
}

/** What `JSON.parse` returned holds JSON values only. */
function isJsonList(value: unknown): value is readonly JsonValue[] {
  return Array.isArray(value)
}

const texts = z.array(z.string().min(1)).min(1)
const schema = strict({
  keys: texts.optional(),
  paths: z
    .array(
      z
        .string()
        .refine((path) => segmentsOf(path) !== undefined, 'expected a JSON Pointer, such as /user/email'),
    )
    .min(1)
    .optional(),
  patterns: z.array(z.instanceof(RegExp)).min(1).optional(),
  replacement: z.string().optional(),
  in: z
    .array(z.enum(['arguments', 'results']))
    .min(1)
    .optional(),
  tools: oneOrMorePatterns,
}).refine(
  ({ keys, paths, patterns }) => keys !== undefined || paths !== undefined || patterns !== undefined,
  {
    error: 'takes out nothing: name keys, paths or patterns',
  },
)

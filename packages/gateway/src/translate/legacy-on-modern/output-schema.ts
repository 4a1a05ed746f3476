import { isRecord } from '../../wire/client-message.ts'

/** Name of the one property that carries what is not an object where only objects may stand. */
export const WRAPPED = 'result'

const BASE = `#/properties/${WRAPPED}`
/** Keywords whose value is data, not a schema. */
const DATA = new Set(['const', 'enum', 'default', 'examples'])
/** Keywords whose members are schemas under names of the author's choice. */
const NAMED = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
  'dependencies',
])
/** A schema that is nested deeper is handed on as it is, below that depth. */
const MAX_DEPTH = 200

/**
 * Until 2025-11-25 an output schema describes an object; since 2026-07-28 (SEP-2106) any value. True if the values of a
 * tool have to be wrapped for clients of the earlier revisions.
 */
export function needsWrapping(outputSchema: unknown): boolean {
  return outputSchema !== undefined && !(isRecord(outputSchema) && outputSchema['type'] === 'object')
}

/** The schema of `{"result": value}`, for a value that fits `schema`. */
export function wrappedSchema(schema: unknown): Readonly<Record<string, unknown>> {
  const dialect = isRecord(schema) && typeof schema['$schema'] === 'string' ? schema['$schema'] : undefined
  const inner = moved(schema, 0)
  return {
    ...(dialect !== undefined && { $schema: dialect }),
    type: 'object',
    properties: { [WRAPPED]: inner },
    required: [WRAPPED],
  }
}

/** Pointers from the root of a document follow the schema to its new place, except where an `$id` makes a root of its own. */
function moved(schema: unknown, depth: number): unknown {
  if (depth > MAX_DEPTH) return schema
  if (Array.isArray(schema)) return schema.map((element) => moved(element, depth + 1))
  if (!isRecord(schema) || hasOwnBase(schema)) return schema
  return Object.fromEntries(
    Object.entries(schema).map(([keyword, value]): [string, unknown] => {
      if (DATA.has(keyword)) return [keyword, value]
      if (NAMED.has(keyword) && isRecord(value)) {
        const entries = Object.entries(value).map(([name, inner]) => [name, moved(inner, depth + 1)])
        return [keyword, Object.fromEntries(entries)]
      }
      const isPointer = keyword === '$ref' || keyword === '$dynamicRef' || keyword === '$recursiveRef'
      if (isPointer && typeof value === 'string') {
        return [keyword === '$recursiveRef' ? '$ref' : keyword, movedPointer(value)]
      }
      return [keyword, moved(value, depth + 1)]
    }),
  )
}

function movedPointer(pointer: string): string {
  return pointer === '#' || pointer.startsWith('#/') ? BASE + pointer.slice(1) : pointer
}

function hasOwnBase(schema: Readonly<Record<string, unknown>>): boolean {
  const id = schema['$id']
  return typeof id === 'string' && !id.startsWith('#')
}

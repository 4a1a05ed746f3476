/**
 * Member names that differ only by case from one that the gateway reads. Some JSON readers ignore case (Go's `encoding/json`):
 * for them `{"name": "a", "Name": "b"}` calls `b`, while the gateway has let `a` pass. No client has a reason to send such a name
 * with a method of MCP; what other methods call their parameters is their own business, as long as there is no doubt.
 */

const MESSAGE = nameTable('jsonrpc', 'id', 'method', 'params', 'result', 'error')
const PARAMS = nameTable(
  'name',
  'uri',
  'arguments',
  '_meta',
  'cursor',
  'ref',
  'level',
  'requestId',
  'progressToken',
  'protocolVersion',
  'capabilities',
)
const META = nameTable(
  'progressToken',
  'io.modelcontextprotocol/protocolVersion',
  'io.modelcontextprotocol/clientInfo',
  'io.modelcontextprotocol/clientCapabilities',
  'io.modelcontextprotocol/logLevel',
  'io.modelcontextprotocol/subscriptionId',
)

const OWN_METHOD =
  /^(?:initialize|ping|(?:completion|elicitation|logging|notifications|prompts|resources|roots|sampling|server|subscriptions|tasks|tools)\/.*)$/

interface NameTable {
  /** A record: looking a member name up in it costs half of what a set does. */
  readonly exact: Readonly<Record<string, true>>
  /** What is read, by its name without case. */
  readonly folded: ReadonlyMap<string, string>
}

/** The first such name in a message, its `params` or their `_meta`; `undefined` if there is none. */
export function nameVariant(message: Readonly<Record<string, unknown>>): string | undefined {
  const found = variantIn(message, MESSAGE)
  if (found !== undefined) return found
  const { params, method } = message
  if (typeof params !== 'object' || params === null) return undefined
  const isOwn = typeof method === 'string' && OWN_METHOD.test(method)
  const inParams = variantIn(params, PARAMS, isOwn)
  if (inParams !== undefined || !('_meta' in params)) return inParams
  const { _meta } = params
  return typeof _meta === 'object' && _meta !== null ? variantIn(_meta, META) : undefined
}

function variantIn(object: object, { exact, folded }: NameTable, alone = true): string | undefined {
  for (const name in object) {
    if (exact[name] === true) continue
    const meant = folded.get(fold(name))
    if (meant !== undefined && (alone || Object.hasOwn(object, meant))) return name
  }
  return undefined
}

/** As readers do that ignore case: some take the long s for an s, and the Kelvin sign for a k (Unicode simple folding). */
function fold(name: string): string {
  return name.toLowerCase().toUpperCase()
}

function nameTable(...names: readonly string[]): NameTable {
  return {
    exact: Object.fromEntries(names.map((name) => [name, true as const])),
    folded: new Map(names.map((name) => [fold(name), name])),
  }
}

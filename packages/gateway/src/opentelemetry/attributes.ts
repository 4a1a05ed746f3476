import type { Attributes } from '@opentelemetry/api'
import type { GatewayCall, GatewayCallEnd, UpstreamCall, UpstreamCallEnd } from '../observe/events.ts'

/** Methods that may be the value of a metric's attribute; clients could make up any number of others. */
const METHODS = new Set([
  'completion/complete',
  'initialize',
  'logging/setLevel',
  'ping',
  'prompts/get',
  'prompts/list',
  'resources/list',
  'resources/read',
  'resources/subscribe',
  'resources/templates/list',
  'resources/unsubscribe',
  'server/discover',
  'subscriptions/listen',
  'tasks/cancel',
  'tasks/get',
  'tasks/list',
  'tasks/result',
  'tools/call',
  'tools/list',
])

/** Names are the client's, and as long as it likes. */
const MOST_CHARACTERS = 256

export function bounded(text: string): string {
  return text.length > MOST_CHARACTERS ? text.slice(0, MOST_CHARACTERS) : text
}

export function knownMethod(method: string): string {
  return METHODS.has(method) ? method : '_OTHER'
}

/** `{mcp.method.name} {target}`, where the target is a tool or a prompt. */
export function spanName({ method, target }: { method: string; target: string | undefined }): string {
  const named = target !== undefined && (method === 'tools/call' || method === 'prompts/get')
  return bounded(named ? `${method} ${target}` : method)
}

export function targetAttributes({
  method,
  target,
}: {
  method: string
  target: string | undefined
}): Attributes {
  if (method === 'tools/call')
    return {
      'gen_ai.operation.name': 'execute_tool',
      ...(target !== undefined && { 'gen_ai.tool.name': bounded(target) }),
    }
  if (target === undefined) return {}
  if (method === 'prompts/get') return { 'gen_ai.prompt.name': bounded(target) }
  return method.startsWith('resources/') ? { 'mcp.resource.uri': bounded(target) } : {}
}

/** The same for metrics: no URIs, and only names that a server has accepted. */
export function metricAttributes(
  call: GatewayCall | UpstreamCall,
  end: GatewayCallEnd | UpstreamCallEnd,
): Attributes {
  const { method, protocolVersion } = call
  const accepted = end.status === 'ok' || end.status === 'tool-error'
  const target = accepted && !method.startsWith('resources/') ? call.target : undefined
  return {
    'mcp.method.name': knownMethod(method),
    ...targetAttributes({ method, target }),
    ...(protocolVersion !== '' && accepted && { 'mcp.protocol.version': protocolVersion }),
    ...endAttributes(end),
  }
}

/** Where a server is; nothing for requests of the gateway's own. */
export function peerAttributes({ server, transport, address, port }: UpstreamCall): Attributes {
  return {
    'sallyport.upstream.name': server,
    ...(transport !== undefined && { 'network.transport': transport === 'stdio' ? 'pipe' : 'tcp' }),
    ...(transport === 'http' && { 'network.protocol.name': 'http' }),
    ...(address !== undefined && { 'server.address': address }),
    ...(port !== undefined && { 'server.port': port }),
  }
}

export function endAttributes({ status, code }: GatewayCallEnd | UpstreamCallEnd): Attributes {
  const type = errorType(status, code)
  return {
    ...(type !== undefined && { 'error.type': type }),
    ...(typeof code === 'number' && { 'rpc.response.status_code': String(code) }),
  }
}

/** `undefined` if nothing went wrong. */
export function errorType(
  status: GatewayCallEnd['status'],
  code: number | string | undefined,
): string | undefined {
  if (status === 'ok') return undefined
  if (status === 'tool-error') return 'tool_error'
  return code === undefined ? status : String(code)
}

import type { GatewayInterceptor } from '@sallyport/core'
import { isRecord, parseJson, type RpcMessage } from '../wire/client-message.ts'
import { RpcCode } from '../wire/protocol.ts'
import { repeatedMember } from '../wire/repeated-member.ts'
import { type Edit, splice } from '../wire/splice.ts'
import { encodeHeaderValue } from '../wire/header-value.ts'
import { PARAM_PREFIX } from '../wire/param-headers.ts'
import type { Flow, FlowRoute } from './flow.ts'
import { isJsonObject, runRequestPhase } from './interceptor-phases.ts'

export interface Route extends FlowRoute {
  readonly edits: readonly Edit[]
  readonly guard: SendingGuard
}

/** Lets calls through to a server, in its own time. */
export interface SendingGuard {
  send(flow: Flow): void
}

/** Records the intent, lets interceptors have their say, sends. The one way from a route to a server. */
export function forward(flow: Flow, route: Route, interceptors: readonly GatewayInterceptor[]): void {
  flow.edits = route.edits
  flow.begin(route.server, route.target, () => {
    if (interceptors.length === 0) send(flow, route)
    else intercept(flow, route, interceptors)
  })
}

function send(flow: Flow, route: Route): void {
  flow.route = route
  route.guard.send(flow)
}

function intercept(flow: Flow, route: Route, interceptors: readonly GatewayInterceptor[]): void {
  if (flow.edits.length > 0) flow.rewrite(splice(flow.bytes, ...flow.edits))
  const repeated = repeatedMember(flow.bytes.toString())
  if (repeated !== undefined) {
    // what an interceptor decides on and what the server reads has to be the same message
    const message = `the member ${JSON.stringify(repeated)} occurs twice`
    flow.reject(400, { code: RpcCode.invalidRequest, message })
    return
  }
  const parsed = parseJson(flow.bytes)
  const params = isRecord(parsed) && isJsonObject(parsed['params']) ? parsed['params'] : {}
  const call = { method: flow.method, server: route.server, params }
  runRequestPhase(interceptors, flow.context, call, (result) => {
    if (flow.settled) return
    if (result instanceof Error) {
      flow.fail(result)
      return
    }
    flow.intercepted = result
    if (result.params !== params) replaceParams(flow, result.params)
    send(flow, route)
  })
}

function replaceParams(flow: Flow, params: Readonly<Record<string, unknown>>): void {
  const { scan, bytes } = flow
  const text = JSON.stringify(params)
  const edit: Edit =
    scan.paramsStart >= 0
      ? [scan.paramsStart, scan.paramsEnd, text]
      : [scan.methodEnd, scan.methodEnd, `,"params":${text}`]
  flow.rewrite(splice(bytes, edit))
  const name = params['name'] ?? params['uri']
  flow.lacksParamHeaders = flow.context.era === 'modern'
  flow.headers = withoutParams(flow.headers)
  if (typeof name === 'string') flow.headers = withHeader(flow.headers, 'mcp-name', encodeHeaderValue(name))
}

/** What the client said of its own arguments is not true of others. */
function withoutParams(headers: readonly string[]): readonly string[] {
  const isParam = (at: number) => headers[at - (at % 2)]?.startsWith(PARAM_PREFIX) === true
  return headers.filter((_, at) => !isParam(at))
}

/** Replaces the value of a header that is there; adds none. */
export function withHeader(headers: readonly string[], name: string, value: string): readonly string[] {
  const at = headers.findIndex((entry, index) => index % 2 === 0 && entry === name)
  return at < 0 ? headers : headers.with(at + 1, value)
}

/** Name or URI that a request is about. */
export function targetOf({ params }: RpcMessage): string | undefined {
  const target = params['name'] ?? params['uri']
  return typeof target === 'string' ? target : undefined
}

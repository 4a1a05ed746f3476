import type { GatewayInterceptor } from '@sallyport/core'
import { checkArguments, checkCall, checkChanged, type Gates } from '../policy/check-call.ts'
import { isRecord, parseJson } from '../wire/client-message.ts'
import { RpcCode } from '../wire/protocol.ts'
import { repeatedMember } from '../wire/repeated-member.ts'
import { type Edit, splice } from '../wire/splice.ts'
import type { Flow, FlowRoute } from './flow.ts'
import { isJsonObject, runRequestPhase } from './interceptor-phases.ts'
import { replaceParams } from './rewrite-params.ts'

export interface Route extends FlowRoute {
  readonly edits: readonly Edit[]
  readonly guard: SendingGuard
}

/** Lets calls through to a server, in its own time. */
export interface SendingGuard {
  send(flow: Flow): void
}

/** Who has a say on the way from a route to a server. */
export interface Passage {
  readonly interceptors: readonly GatewayInterceptor[]
  /** Policy and rate limits, if there are any. */
  readonly gates: Gates | undefined
}

/** Records the intent, asks policy and interceptors, sends. The one way from a route to a server. */
export function forward(flow: Flow, route: Route, passage: Passage): void {
  flow.edits = route.edits
  flow.server = route.server
  flow.begin(route.server, route.target, () => {
    const { gates } = passage
    if (gates === undefined) pass(flow, route, passage, false)
    else checkCall(flow, route, gates, (byArguments) => pass(flow, route, passage, byArguments))
  })
}

/** @param byArguments the call is allowed with some arguments only */
function pass(flow: Flow, route: Route, passage: Passage, byArguments: boolean): void {
  if (passage.interceptors.length === 0 && !byArguments) send(flow, route)
  else intercept(flow, route, passage, byArguments)
}

function send(flow: Flow, route: Route): void {
  flow.route = route
  route.guard.send(flow)
}

function intercept(flow: Flow, route: Route, { interceptors, gates }: Passage, byArguments: boolean): void {
  if (flow.edits.length > 0) flow.rewrite(splice(flow.bytes, ...flow.edits))
  const repeated = repeatedMember(flow.bytes.toString())
  if (repeated !== undefined) {
    // what policy or an interceptor decides on and what the server reads has to be the same message
    const message = `the member ${JSON.stringify(repeated)} occurs twice`
    flow.reject(400, { code: RpcCode.invalidRequest, message })
    return
  }
  const parsed = parseJson(flow.bytes)
  const params = isRecord(parsed) && isJsonObject(parsed['params']) ? parsed['params'] : {}
  const run = () => {
    if (interceptors.length === 0) {
      send(flow, route)
      return
    }
    const call = { method: flow.method, server: route.server, params, bytes: flow.bytes.length }
    runRequestPhase(interceptors, flow.context, call, (result) => {
      if (flow.settled) return
      if (result instanceof Error) {
        flow.fail(result)
        return
      }
      flow.intercepted = result
      if (result.params === params) {
        send(flow, route)
        return
      }
      replaceParams(flow, result.params)
      // an interceptor may have made another call of it
      if (gates === undefined) send(flow, route)
      else checkChanged(flow, route, result.params, gates, () => send(flow, route))
    })
  }
  if (gates !== undefined && byArguments) checkArguments(flow, route, params, gates, run)
  else run()
}

import { GatewayError, type JsonObject, type PolicyTargetKind } from '@sallyport/core'
import { listOfMethod } from '../aggregate/list-kind.ts'
import type { Flow } from '../call/flow.ts'
import { strayParamHeader } from '../call/param-headers.ts'
import { refuseParams, refuseUnknown } from '../call/refusals.ts'
import { type RequestKind, requestKind, requestTarget } from '../call/request-target.ts'
import { replaceParams } from '../call/rewrite-params.ts'
import { isJsonObject } from '../call/interceptor-phases.ts'
import { whenAll } from '../call/when-all.ts'
import { isRecord } from '../wire/client-message.ts'
import { RpcCode } from '../wire/protocol.ts'
import { type PolicyGate, type Verdict } from './policy-gate.ts'
import type { PolicyScreen } from './policy-screen.ts'
import type { RateGate } from './rate-gate.ts'

/** Who may call what, and how often. */
export interface Gates {
  readonly policy: { readonly gate: PolicyGate; readonly screen: PolicyScreen } | undefined
  readonly rates: RateGate | undefined
}

/** Where a call is about to go. */
interface Destination {
  readonly server: string
  readonly target: string | undefined
}

/**
 * Asks policy and rate limits about a request that has its route. `go` is called, at once if nobody needs time, if it may go
 * on; it is told if the arguments are still to be looked at. Otherwise the request is answered.
 */
export function checkCall(
  flow: Flow,
  destination: Destination,
  gates: Gates,
  go: (byArguments: boolean) => void,
): void {
  const { policy } = gates
  const kind = requestKind(flow.method)
  if (policy === undefined) {
    takePoint(flow, destination, kind, gates, () => go(false))
    return
  }
  const { server, target } = destination
  if (target === undefined && isNamed(kind)) {
    refuseParams(
      flow,
      `params.${kind === 'resource' ? 'uri' : kind === 'completion' ? 'ref' : 'name'} must be a text`,
    )
    return
  }
  const { principal } = flow.context
  const name = kind === 'method' ? flow.method : (target ?? '')
  whenDecided(policy.gate.decide(principal, server, targetKind(flow, kind, name), name), flow, (verdict) => {
    // what a completion lists may be just what other arguments would not be allowed for
    const byArguments = verdict.effect === 'depends' && kind !== 'completion'
    if (verdict.effect !== 'allow' && !byArguments) refuse(flow, verdict)
    else {
      takePoint(flow, destination, kind, gates, () => {
        if (kind === 'listen') checkSubscriptions(flow, server, policy.gate, () => go(false))
        else watchAnswer(flow, server, kind, policy, () => go(byArguments))
      })
    }
  })
}

/** The rest of the decision, with the arguments that the server will get. */
export function checkArguments(
  flow: Flow,
  destination: Destination,
  params: JsonObject,
  gates: Gates,
  go: () => void,
): void {
  const { policy } = gates
  const given = params['arguments'] ?? {}
  const stray = strayParamHeader(flow.headers, given)
  if (!isJsonObject(given)) refuseParams(flow, 'params.arguments must be an object')
  else if (stray !== undefined) {
    // the server might take the argument from there
    const message = `Header mismatch: the ${stray} header repeats no argument`
    flow.reject(400, { code: RpcCode.headerMismatch, message })
  } else if (policy !== undefined) {
    const kind = requestKind(flow.method)
    const name = requestTarget(flow.method, params) ?? ''
    const { server } = destination
    const decided = policy.gate.decideCall(
      flow.context.principal,
      server,
      targetKind(flow, kind, name),
      name,
      given,
    )
    whenDecided(decided, flow, (verdict) => {
      if (verdict.effect === 'allow') go()
      else refuseArguments(flow, verdict)
    })
  }
}

/** Asks again about a call that interceptors have changed. */
export function checkChanged(
  flow: Flow,
  destination: Destination,
  params: JsonObject,
  gates: Gates,
  go: () => void,
): void {
  const { policy } = gates
  const kind = requestKind(flow.method)
  if (policy === undefined || kind === 'server' || kind === 'listen') {
    go()
    return
  }
  const name = kind === 'method' ? flow.method : (requestTarget(flow.method, params) ?? '')
  const decided = policy.gate.decide(
    flow.context.principal,
    destination.server,
    targetKind(flow, kind, name),
    name,
  )
  whenDecided(decided, flow, (verdict) => {
    if (verdict.effect === 'allow') go()
    else if (verdict.effect === 'depends' && kind !== 'completion')
      checkArguments(flow, destination, params, gates, go)
    else refuse(flow, verdict)
  })
}

function whenDecided(decided: Verdict | Promise<Verdict>, flow: Flow, use: (verdict: Verdict) => void): void {
  if (!(decided instanceof Promise)) {
    use(decided)
    return
  }
  decided
    .then((verdict) => {
      if (!flow.settled) use(verdict)
    })
    .catch((error: unknown) => flow.fail(error))
}

function isNamed(kind: RequestKind): boolean {
  return kind === 'tool' || kind === 'prompt' || kind === 'resource' || kind === 'completion'
}

function targetKind(flow: Flow, kind: RequestKind, name: string): PolicyTargetKind {
  if (kind === 'listen') return 'server'
  if (kind !== 'completion') return kind
  const { ref } = flow.message.params
  if (isRecord(ref) && ref['type'] === 'ref/prompt') return 'prompt'
  return name.includes('{') ? 'resourceTemplate' : 'resource'
}

function refuse(flow: Flow, verdict: Verdict): void {
  if (verdict.effect === 'failed') flow.fail(verdict.error)
  else if (verdict.effect === 'deny' && verdict.scopes !== undefined) flow.stepUp(verdict.scopes)
  else if (verdict.effect === 'deny' && verdict.listed === true) refuseArguments(flow, verdict)
  else refuseUnknown(flow, 'ERR_FORBIDDEN')
}

/** The client knows of what it calls, so it may know why it cannot. */
function refuseArguments(flow: Flow, verdict: Verdict): void {
  if (verdict.effect === 'failed' || (verdict.effect === 'deny' && verdict.scopes !== undefined)) {
    refuse(flow, verdict)
    return
  }
  const message = verdict.effect === 'deny' ? verdict.message : undefined
  flow.fail(new GatewayError('ERR_FORBIDDEN', message ?? 'policy does not allow this call'))
}

function takePoint(
  flow: Flow,
  { server, target }: Destination,
  kind: RequestKind,
  { rates }: Gates,
  go: () => void,
): void {
  const reachesServer = listOfMethod(flow.method) !== undefined || flow.method === 'logging/setLevel'
  const counted = (kind !== 'server' && kind !== 'listen') || reachesServer
  if (rates === undefined || !counted) go()
  else rates.take(flow, server, kind, target, go)
}

/** A subscription goes on without the resources that the caller may not read. */
function checkSubscriptions(flow: Flow, server: string, gate: PolicyGate, go: () => void): void {
  const { notifications } = flow.message.params
  const uris: unknown = isRecord(notifications) ? notifications['resourceSubscriptions'] : undefined
  if (!isRecord(notifications) || !Array.isArray(uris) || uris.length === 0) {
    go()
    return
  }
  const named = uris.filter((uri) => typeof uri === 'string')
  const verdicts = named.map((uri) => gate.decide(flow.context.principal, server, 'resource', uri))
  const use = (decided: readonly Verdict[]) => {
    const allowed = named.filter((_, index) => decided[index]?.effect === 'allow')
    if (allowed.length < uris.length) {
      const kept = { ...notifications, resourceSubscriptions: allowed }
      replaceParams(flow, { ...flow.message.params, notifications: kept })
    }
    go()
  }
  const used = whenAll(verdicts, use)
  if (used instanceof Promise) used.catch((error: unknown) => flow.fail(error))
}

/** Has the answer looked at where it may show or ask something that is not allowed. */
function watchAnswer(
  flow: Flow,
  server: string,
  kind: RequestKind,
  { gate, screen }: { readonly gate: PolicyGate; readonly screen: PolicyScreen },
  go: () => void,
): void {
  if (listOfMethod(flow.method) !== undefined) {
    flow.screen = screen
    go()
    return
  }
  if (kind === 'server') {
    go()
    return
  }
  // in the legacy era a server asks with a request of its own, which the session sees, or sends the client to a page
  const isLegacy = flow.context.era === 'legacy'
  const forbidden = gate.forbiddenAsks(flow.context.principal, server)
  const watch = (asks: readonly string[]) => {
    if (isLegacy ? asks.includes('elicitation') : asks.length > 0) flow.screen = screen
    go()
  }
  if (forbidden instanceof Promise) forbidden.then(watch).catch((error: unknown) => flow.fail(error))
  else watch(forbidden)
}

import { type Principal, type RequestContext, SallyportError, type TraceContext } from '@sallyport/core'
import { initializeResult, settled } from './aggregate/introduction.ts'
import type { Carrier, CarrierSource } from './call/call.ts'
import type { Flow } from './call/flow.ts'
import { isOneServer } from './call/endpoint.ts'
import { forward } from './call/forward.ts'
import type { Reply } from './call/reply.ts'
import { traceHeaders } from './front/trace.ts'
import type { GatewayCore } from './gateway-core.ts'
import type { LegacySession } from './legacy/legacy-session.ts'
import type { Upstream } from './upstream/upstream.ts'
import { isRecord, parseJson, type RpcMessage } from './wire/client-message.ts'
import { negotiate, RpcCode } from './wire/protocol.ts'

export interface SessionOpening {
  readonly principal: Principal
  readonly endpoint: string | undefined
  readonly remoteAddress: string | undefined
  readonly message: RpcMessage
  readonly reply: Reply
  readonly trace: TraceContext | undefined
  /** Called before the answer goes out. */
  readonly onOpen: (session: LegacySession) => void
  readonly outlet?: (message: Buffer) => void
}

const MAX_INITIALIZE_BYTES = 64 * 1024

/** `initialize`: on a server's own path it is that server's to answer, on the aggregated endpoint the gateway's. */
export function openSession(opening: SessionOpening, core: GatewayCore): void {
  const { message, principal, endpoint, remoteAddress } = opening
  const context: RequestContext = {
    principal,
    era: 'legacy',
    protocolVersion: negotiate(message.params['protocolVersion']),
    endpoint,
    remoteAddress,
    trace: opening.trace,
  }
  const flow = core.flow(message, context, opening.reply, traceHeaders(opening.trace))
  if (!core.admits(flow)) return
  if (typeof message.params['protocolVersion'] !== 'string' || !isRecord(message.params['capabilities'])) {
    const text = 'initialize needs params.protocolVersion and params.capabilities'
    flow.reject(200, { code: RpcCode.invalidParams, message: text })
    return
  }
  if (message.bytes.length > MAX_INITIALIZE_BYTES) {
    // it is kept as long as the session lives
    const text = `initialize may take ${MAX_INITIALIZE_BYTES} bytes`
    flow.reject(200, { code: RpcCode.invalidParams, message: text })
    return
  }
  let session: LegacySession
  try {
    session = core.sessions.create({
      ...opening,
      protocolVersion: context.protocolVersion,
      initializeParams: message.params,
    })
  } catch (error) {
    flow.fail(error)
    return
  }
  // whatever the end: a session that did not come to be gives its place back
  flow.keptBy({ settled: () => core.sessions.discard(session) })
  if (isOneServer(endpoint)) openSingle(opening, session, flow, endpoint, core)
  else core.views.with(flow, (view) => openAggregated(opening, session, flow, view, core))
}

function openAggregated(
  opening: SessionOpening,
  session: LegacySession,
  flow: Flow,
  all: readonly Upstream[],
  core: GatewayCore,
): void {
  flow.begin(undefined, undefined, () => {
    const own = { serverInfo: core.serverInfo, toolset: core.views.toolset(flow.context) }
    const open = () => {
      if (flow.settled) return
      core.sessions.publish(session)
      opening.onOpen(session)
      flow.answer(initializeResult(all, opening.message.params['protocolVersion'], own))
    }
    if (all.every(({ knownEra }) => knownEra !== undefined)) open()
    else void settled(all, session.context, core.limits.listMs).then(open)
  })
}

function openSingle(
  opening: SessionOpening,
  session: LegacySession,
  flow: Flow,
  endpoint: string,
  core: GatewayCore,
): void {
  const upstream = core.existing(endpoint, flow)
  if (upstream === undefined) return
  const open = () => {
    const peer = session.peer(upstream)
    const opened = (response: Buffer) => {
      const value = parseJson(response)
      const result = isRecord(value) ? value['result'] : undefined
      const agreed = isRecord(result) ? result['protocolVersion'] : undefined
      if (typeof agreed === 'string') session.negotiated(agreed)
      core.sessions.publish(session)
      opening.onOpen(session)
    }
    const carrier: Carrier = {
      send: (call) => peer.initialize(call, opened),
      cancel: (call, reason) => peer.cancel(call, reason),
    }
    const carriers: CarrierSource = { carrierFor: () => carrier }
    const { guard } = upstream
    forward(flow, { server: endpoint, target: undefined, edits: [], carriers, guard }, core.passage)
  }
  if (upstream.knownEra !== undefined || 'command' in upstream.definition) open()
  else {
    void upstream.era(flow.context).then((verdict) => {
      if (SallyportError.isInstance(verdict)) flow.fail(verdict)
      else open()
    })
  }
}

import type { Flow } from '../call/flow.ts'
import { InternalCall } from '../call/internal-call.ts'
import type { LegacyPeer } from '../legacy/legacy-peer.ts'
import type { LegacySession } from '../legacy/legacy-session.ts'
import { isRecord } from '../wire/client-message.ts'
import { RpcCode } from '../wire/protocol.ts'

const LEVELS = new Set(['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'])

/** `logging/setLevel` for all servers: those that are open are told now, others when they are. */
export function setLogLevel(session: LegacySession, flow: Flow): void {
  const { level } = flow.message.params
  if (typeof level !== 'string' || !LEVELS.has(level)) {
    const message = `params.level must be one of ${[...LEVELS].join(', ')}`
    flow.reject(200, { code: RpcCode.invalidParams, message })
    return
  }
  flow.begin(undefined, level, () => {
    session.logLevel = level
    session.onPeerReady = (peer) => tell(session, peer)
    for (const peer of session.peers()) if (peer.ready) tell(session, peer)
    flow.answer('{}')
  })
}

function tell(session: LegacySession, peer: LegacyPeer): void {
  const facts = peer.upstream.knownEra
  const known = facts?.modern ?? (facts?.legacy === 'untried' ? undefined : facts?.legacy)
  if (known !== undefined && !isRecord(known.capabilities['logging'])) return
  peer.send(
    new InternalCall(
      peer.name,
      session.context,
      'logging/setLevel',
      { level: session.logLevel },
      [],
      () => {},
    ),
  )
}

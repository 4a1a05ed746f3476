import type { Flow } from '../call/flow.ts'
import { type LegacySession, tellLogLevel } from '../legacy/legacy-session.ts'
import { LOG_LEVELS, RpcCode } from '../wire/protocol.ts'

/** `logging/setLevel` for all servers: those that are open are told now, others when they are. */
export function setLogLevel(session: LegacySession, flow: Flow): void {
  const { level } = flow.message.params
  if (typeof level !== 'string' || !LOG_LEVELS.includes(level)) {
    const message = `params.level must be one of ${LOG_LEVELS.join(', ')}`
    flow.reject(200, { code: RpcCode.invalidParams, message })
    return
  }
  flow.begin(undefined, level, () => {
    session.logLevel = level
    for (const peer of session.peers()) if (peer.ready) tellLogLevel(peer, session.context, level)
    flow.answer('{}')
  })
}

import { type RequestContext, type SallyportError, UpstreamError } from '@sallyport/core'
import type { Carrier } from '../call/call.ts'
import { InternalCall, type InternalAnswer } from '../call/internal-call.ts'
import { isRecord } from '../wire/client-message.ts'
import { isTooDeep } from '../wire/nesting.ts'
import {
  isModernErrorCode,
  LATEST_LEGACY,
  LATEST_MODERN,
  META_CAPABILITIES,
  META_CLIENT_INFO,
  META_SERVER_INFO,
  META_VERSION,
  MODERN_VERSIONS,
  RpcCode,
} from '../wire/protocol.ts'
import type { EraVerdict, ServerFacts } from './era.ts'
import type { LegacyTransport, LegacyTransportOwner } from './legacy-transport.ts'
import type { ModernLink } from './modern-link.ts'

/** A server that would not say what it offers may offer anything: it is asked for lists, and may have none. */
const UNKNOWN = { tools: {}, prompts: {}, resources: {} }

export interface ProbeTarget {
  readonly server: string
  readonly context: RequestContext
  readonly clientInfo: { readonly name: string; readonly version: string }
  readonly now: () => number
  readonly openModern: () => ModernLink
  /** Ways to speak the legacy era, in the order in which they are to be tried. */
  readonly legacyTransports: readonly EraVerdict['legacyTransport'][]
  readonly openLegacy: (kind: EraVerdict['legacyTransport'], owner: LegacyTransportOwner) => LegacyTransport
  /** How long an answer is waited for before the next question is asked. */
  readonly timeoutMs: number
  /**
   * How long answers that are late are still taken. Longer than `timeoutMs` for processes: `npx` may have to download a
   * server first, and to stop and start it again would never get it done.
   */
  readonly patienceMs: number
}

/**
 * Asks a server which eras it speaks: `server/discover` first, and `initialize` unless that was answered the modern way
 * (2026-07-28 basic/versioning, "Backward Compatibility"). No single error code decides for the legacy era.
 */
export async function probeEra(target: ProbeTarget): Promise<EraVerdict> {
  const modern = probeModern(target)
  const first = await Promise.race([modern, wait(target.timeoutMs)])
  if (first !== 'late') return first ?? probeEveryLegacy(target)
  // it may still answer, or may not know the question and wait for another one: whatever comes first counts
  const legacy = probeEveryLegacy(target)
  const late = modern.then((verdict) => verdict ?? legacy)
  return Promise.any([late, legacy]).catch(() => legacy)
}

/** Resolves a little after an answer in time would have. */
async function wait(timeoutMs: number): Promise<'late'> {
  await new Promise((resolve) => setTimeout(resolve, timeoutMs).unref())
  return 'late'
}

async function probeEveryLegacy(target: ProbeTarget): Promise<EraVerdict> {
  let failure: SallyportError | undefined
  for (const kind of target.legacyTransports) {
    const answer = await probeLegacy(target, kind)
    if ('result' in answer) {
      const { result } = answer
      const version = String(result['protocolVersion'])
      return { at: target.now(), modern: undefined, legacy: facts(result, [version]), legacyTransport: kind }
    }
    if (!('error' in answer)) failure = answer
    else {
      const refused = `answers neither server/discover nor initialize: ${answer.error.message}`
      failure = new UpstreamError('ERR_UPSTREAM_ERA', target.server, refused)
      // it understood the question; only an HTTP error can mean that it has to be asked in another way
      if (answer.status < 400) break
    }
    // an error from a server that is away says nothing about the next way to reach it
    if (failure.code === 'ERR_UPSTREAM_UNAVAILABLE') break
  }
  throw failure ?? new UpstreamError('ERR_UPSTREAM_ERA', target.server, 'there is no way to ask it')
}

async function probeModern(target: ProbeTarget): Promise<EraVerdict | undefined> {
  const modern = await askModern(target)
  if (modern === undefined) return undefined
  const [legacyTransport = 'streamable-http'] = target.legacyTransports
  return { at: target.now(), modern, legacy: 'untried', legacyTransport }
}

async function askModern(target: ProbeTarget): Promise<ServerFacts | undefined> {
  const link = target.openModern()
  const params = {
    _meta: { [META_VERSION]: LATEST_MODERN, [META_CLIENT_INFO]: target.clientInfo, [META_CAPABILITIES]: {} },
  }
  const context = { ...target.context, era: 'modern' as const, protocolVersion: LATEST_MODERN }
  const answer = await ask(target, context, 'server/discover', params, link)
  if ('result' in answer) {
    const listed = answer.result['supportedVersions']
    const versions = Array.isArray(listed) ? listed.map(String) : [LATEST_MODERN]
    return versions.some((version) => MODERN_VERSIONS.includes(version))
      ? facts(answer.result, versions)
      : undefined
  }
  if ('error' in answer) {
    const { code, data } = answer.error
    const supported = isRecord(data) && Array.isArray(data['supported']) ? data['supported'].map(String) : []
    // a modern server that only knows revisions we do not is of no use in this era, but may be in the other
    const usable =
      code !== RpcCode.unsupportedProtocolVersion || supported.some((it) => MODERN_VERSIONS.includes(it))
    return isModernErrorCode(code) && usable
      ? { versions: supported, capabilities: UNKNOWN, instructions: undefined, serverInfo: undefined }
      : undefined
  }
  const unreachable = 'retrySafe' in answer && answer.retrySafe === true
  // what keeps us from asking at all (a consent is missing) does so in every other way too
  if (unreachable || !answer.code.startsWith('ERR_UPSTREAM')) throw answer
  return undefined
}

async function probeLegacy(
  target: ProbeTarget,
  kind: EraVerdict['legacyTransport'],
): Promise<InternalAnswer | SallyportError> {
  const ignore: LegacyTransportOwner = {
    fromServer() {},
    sessionOpened() {},
    sessionLost() {},
    refused() {},
    closed() {},
  }
  const transport = target.openLegacy(kind, ignore)
  const params = { protocolVersion: LATEST_LEGACY, capabilities: {}, clientInfo: target.clientInfo }
  const context = { ...target.context, era: 'legacy' as const, protocolVersion: LATEST_LEGACY }
  const answer = await ask(target, context, 'initialize', params, {
    send: (call) => transport.initialize(call),
    cancel: (call) => transport.cancel(call, undefined),
  })
  transport.close()
  return answer
}

function ask(
  target: ProbeTarget,
  context: RequestContext,
  method: string,
  params: unknown,
  carrier: Carrier,
): Promise<InternalAnswer | SallyportError> {
  return new Promise((resolve) => {
    const late = new UpstreamError('ERR_UPSTREAM_TIMEOUT', target.server, `did not answer ${method} in time`)
    const call = new InternalCall(target.server, context, method, params, [], (answer) => {
      clearTimeout(timer)
      resolve(answer)
    })
    const timer = setTimeout(() => {
      carrier.cancel(call, 'timeout')
      call.fail(late)
    }, target.patienceMs)
    carrier.send(call)
  })
}

function facts(result: Readonly<Record<string, unknown>>, versions: readonly string[]): ServerFacts {
  const { capabilities, instructions, _meta: meta } = result
  // in the modern era it is metadata of every result
  const serverInfo =
    isRecord(meta) && META_SERVER_INFO in meta ? meta[META_SERVER_INFO] : result['serverInfo']
  return {
    versions,
    // they are written again where the capabilities of all servers are joined
    capabilities: isRecord(capabilities) && !isTooDeep(capabilities) ? capabilities : {},
    instructions: typeof instructions === 'string' ? instructions : undefined,
    serverInfo: isRecord(serverInfo) ? serverInfo : undefined,
  }
}

import { isStdioServer, principalKey } from '@sallyport/core'
import type { Call } from '../../call/call.ts'
import { legacyFacts } from '../../upstream/era.ts'
import type { ModernNotice } from '../../upstream/modern-link.ts'
import type { Upstream } from '../../upstream/upstream.ts'
import { isRecord, parseJson } from '../../wire/client-message.ts'
import { RpcCode } from '../../wire/protocol.ts'
import { Ear } from './ear.ts'
import { Listener } from './listener.ts'
import { errorResponse } from './modern-response.ts'
import { readFilter, within } from './notification-filter.ts'

export interface ListenHubOptions {
  readonly upstream: Upstream
  readonly clientInfo: { readonly name: string; readonly version: string }
  /** The server gets credentials of the caller, so what it says may be the caller's own. */
  readonly perPrincipal: boolean
  readonly notice: ModernNotice
}

/** Subscriptions of the modern era on a server of the legacy one: what the server says once is told to all who want to hear it. */
export class ListenHub {
  readonly #options: ListenHubOptions
  readonly #ears = new Map<string, Ear>()
  readonly #listeners = new Map<Call, Listener>()

  constructor(options: ListenHubOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#listeners.size
  }

  listen(call: Call): void {
    const { upstream, notice } = this.#options
    const params = parseJson(call.bytes.subarray(call.scan.paramsStart, call.scan.paramsEnd))
    const filter = readFilter(isRecord(params) ? params['notifications'] : undefined)
    if (filter === undefined) {
      const message = 'params.notifications must be a notification filter'
      const refused = errorResponse(call.idText, { code: RpcCode.invalidParams, message })
      call.final(refused.bytes, refused.scan, 400)
      return
    }
    const era = upstream.knownEra
    const agreed = within(filter, (era === undefined ? undefined : legacyFacts(era))?.capabilities ?? {})
    const listener = new Listener(call, notice)
    this.#listeners.set(call, listener)
    // a server that never says anything of the kind need not be listened to
    if (agreed.methods.size + agreed.uris.length === 0) listener.acknowledge(agreed)
    else void this.#earOf(call).add(listener, agreed)
  }

  /** False if the call is no subscription. */
  cancel(call: Call): boolean {
    const listener = this.#listeners.get(call)
    if (listener === undefined) return false
    this.#listeners.delete(call)
    for (const [key, ear] of this.#ears) {
      ear.remove(listener)
      if (!ear.isEmpty) continue
      this.#ears.delete(key)
      ear.close()
    }
    return true
  }

  /** Ends all subscriptions the graceful way. */
  close(): void {
    const ears = [...this.#ears.values()]
    const listeners = [...this.#listeners.values()]
    this.#ears.clear()
    this.#listeners.clear()
    for (const ear of ears) ear.close()
    for (const listener of listeners) listener.complete()
  }

  #earOf({ context }: Call): Ear {
    const { upstream, clientInfo, perPrincipal } = this.#options
    const { definition } = upstream
    const isOwn = perPrincipal || (isStdioServer(definition) && (definition.sharing ?? 'tenant') !== 'tenant')
    const { principal } = context
    const key = isOwn ? principalKey(principal) : principal.tenant
    const known = this.#ears.get(key)
    if (known !== undefined) return known
    const ear = new Ear({
      upstream,
      context,
      clientInfo,
      onFailed: (listener) => void this.cancel(listener.call),
    })
    this.#ears.set(key, ear)
    return ear
  }
}

import type { SallyportError } from '@sallyport/core'
import type { Call } from '../../call/call.ts'
import type { ModernNotice } from '../../upstream/modern-link.ts'
import { isRecord, parseJson } from '../../wire/client-message.ts'
import { notificationMessage, resultMessage } from '../../wire/json-rpc.ts'
import { META_SUBSCRIPTION } from '../../wire/protocol.ts'
import { isWithin } from '../../wire/resource-uri.ts'
import { scanned } from './legacy-request.ts'
import { type NotificationFilter, wireFilter } from './notification-filter.ts'

/** One `subscriptions/listen` of a client. */
export class Listener {
  readonly call: Call
  readonly #notice: ModernNotice
  readonly #id: unknown
  /** What the server has agreed to; nothing is told before that. */
  #agreed: NotificationFilter | undefined

  constructor(call: Call, notice: ModernNotice) {
    this.call = call
    this.#notice = notice
    this.#id = parseJson(Buffer.from(call.idText))
  }

  /** The first message on the subscription, with what of it will be heard (2026-07-28 basic/patterns/subscriptions, "Acknowledgment"). */
  acknowledge(agreed: NotificationFilter): void {
    if (this.#agreed !== undefined) return
    this.#tell('notifications/subscriptions/acknowledged', { notifications: wireFilter(agreed) })
    this.#agreed = agreed
  }

  get isAcknowledged(): boolean {
    return this.#agreed !== undefined
  }

  listChanged(method: string, params: Readonly<Record<string, unknown>>): void {
    if (this.#agreed?.methods.has(method) === true) this.#tell(method, params)
  }

  resourceUpdated(uri: string, params: Readonly<Record<string, unknown>>): void {
    const concerned = this.#agreed?.uris.some((wanted) => isWithin(uri, wanted)) === true
    if (concerned) this.#tell('notifications/resources/updated', params)
  }

  /** The server was away: what it would have said meanwhile may be anything that was asked for. */
  mayHaveMissed(): void {
    for (const method of this.#agreed?.methods ?? []) this.#tell(method, {})
    for (const uri of this.#agreed?.uris ?? []) this.#tell('notifications/resources/updated', { uri })
  }

  /** Ends the graceful way, with a result. */
  complete(): void {
    const result = { resultType: 'complete', _meta: { [META_SUBSCRIPTION]: this.#id } }
    const { bytes, scan } = scanned(resultMessage(this.call.idText, JSON.stringify(result)))
    this.call.final(bytes, scan, 200)
  }

  fail(error: SallyportError): void {
    this.call.fail(error)
  }

  #tell(method: string, params: Readonly<Record<string, unknown>>): void {
    const { _meta: meta } = params
    const marked = { ...(isRecord(meta) && meta), [META_SUBSCRIPTION]: this.#id }
    const { bytes, scan } = scanned(notificationMessage(method, { ...params, _meta: marked }))
    this.#notice(bytes, scan, this.call)
  }
}

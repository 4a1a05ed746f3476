import { type RequestContext, type SallyportError, UpstreamError } from '@sallyport/core'
import type { Call } from '../../call/call.ts'
import type { ModernLink } from '../../upstream/modern-link.ts'
import { isRecord, parseJson } from '../../wire/client-message.ts'
import { requestMessage } from '../../wire/json-rpc.ts'
import { MAX_WRITTEN_DEPTH } from '../../wire/nesting.ts'
import type { MessageScan } from '../../wire/scan-message.ts'
import { envelope } from './envelope.ts'
import { scanned } from './modern-request.ts'

/** What a subscription is about (2026-07-28 basic/patterns/subscriptions, "Notification Filter"). */
export interface ListenFilter {
  readonly tools: boolean
  readonly prompts: boolean
  readonly resources: boolean
  readonly uris: readonly string[]
}

export interface ListenCallOwner {
  /** @param uris that the server has agreed to */
  acknowledged(call: ListenCall, uris: ReadonlySet<string>): void
  notified(call: ListenCall, method: string, message: Buffer): void
  /** @param refused the server answered with an error: it does not do this */
  ended(call: ListenCall, error: SallyportError | undefined, refused: boolean): void
}

let counter = 0

/** One `subscriptions/listen` towards a server. */
export class ListenCall implements Call {
  readonly filter: ListenFilter
  readonly context: RequestContext
  readonly method = 'subscriptions/listen'
  readonly bytes: Buffer
  readonly scan: MessageScan
  readonly edits = []
  readonly idText: Uint8Array
  readonly headers = []
  readonly #server: string
  readonly #owner: ListenCallOwner
  readonly #link: ModernLink
  #acknowledgement: NodeJS.Timeout | undefined
  #ended = false

  constructor(
    server: string,
    link: ModernLink,
    context: RequestContext,
    clientInfo: unknown,
    filter: ListenFilter,
    owner: ListenCallOwner,
  ) {
    this.#server = server
    this.#link = link
    this.#owner = owner
    this.context = context
    this.filter = filter
    this.bytes = requestMessage(`sallyport-listen-${++counter}`, this.method, {
      notifications: {
        ...(filter.tools && { toolsListChanged: true }),
        ...(filter.prompts && { promptsListChanged: true }),
        ...(filter.resources && { resourcesListChanged: true }),
        ...(filter.uris.length > 0 && { resourceSubscriptions: filter.uris }),
      },
      _meta: envelope({ capabilities: {}, clientInfo }),
    })
    this.scan = scanned(this.bytes)
    this.idText = this.bytes.subarray(this.scan.idStart, this.scan.idEnd)
  }

  /** @param timeoutMs until the acknowledgement, which has to come first and at once */
  open(timeoutMs: number): void {
    this.#acknowledgement = setTimeout(() => {
      this.close()
      this.#end(new UpstreamError('ERR_UPSTREAM_TIMEOUT', this.#server, 'did not acknowledge a subscription'))
    }, timeoutMs)
    this.#acknowledgement.unref()
    this.#link.send(this)
  }

  close(): void {
    clearTimeout(this.#acknowledgement)
    this.#link.cancel(this, 'nobody listens')
  }

  interim(message: Buffer, scan: MessageScan): void {
    if (scan.depth > MAX_WRITTEN_DEPTH) return
    const method = String(parseJson(message.subarray(scan.methodStart, scan.methodEnd)))
    if (method !== 'notifications/subscriptions/acknowledged') {
      this.#owner.notified(this, method, message)
      return
    }
    clearTimeout(this.#acknowledgement)
    const params = parseJson(message.subarray(scan.paramsStart, scan.paramsEnd))
    const agreed = isRecord(params) && isRecord(params['notifications']) ? params['notifications'] : {}
    const uris: unknown = agreed['resourceSubscriptions']
    this.#owner.acknowledged(this, new Set(Array.isArray(uris) ? uris.map(String) : []))
  }

  final(_response: Buffer, scan: MessageScan): void {
    const refused = scan.errorStart >= 0
    const message = 'does not take subscriptions'
    this.#end(
      refused ? new UpstreamError('ERR_UPSTREAM_PROTOCOL', this.#server, message) : undefined,
      refused,
    )
  }

  fail(error: SallyportError): void {
    this.#end(error)
  }

  pause(): void {}

  #end(error: SallyportError | undefined, refused = false): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#acknowledgement)
    this.#owner.ended(this, error, refused)
  }
}

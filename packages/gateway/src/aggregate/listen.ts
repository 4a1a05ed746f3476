import { type Logger, SallyportError } from '@sallyport/core'
import type { Call } from '../call/call.ts'
import type { Flow } from '../call/flow.ts'
import { InternalCall } from '../call/internal-call.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { UpstreamTable } from '../upstream/upstream-table.ts'
import { isRecord, parseJson } from '../wire/client-message.ts'
import { META_SUBSCRIPTION, RpcCode } from '../wire/protocol.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import { splice } from '../wire/splice.ts'
import { suitsAfterAsking } from './candidates.ts'
import { envelopeOf } from './envelope.ts'
import type { Views } from './views.ts'

export interface ListenOptions {
  readonly upstreams: UpstreamTable
  readonly views: Views
  readonly logger: Logger
  /** A server's lists have changed. */
  readonly onListChanged: (tenant: string, server: string) => void
  /** The servers that resources are read from. */
  readonly ownersOf: (
    flow: Flow,
    uris: readonly string[],
  ) => Promise<ReadonlyMap<string, Upstream | undefined>>
  /** How long the acknowledgement waits for servers that are slow to give theirs. */
  readonly acknowledgeMs: number
}

/** What a client asked to hear about (2026-07-28 basic/patterns/subscriptions). */
interface Filter {
  readonly toolsListChanged: boolean
  readonly promptsListChanged: boolean
  readonly resourcesListChanged: boolean
  readonly resourceSubscriptions: readonly string[]
}

const RETRY_MS = 1_000
const LONGEST_RETRY_MS = 30_000

/** Subscriptions of the modern era on the aggregated endpoint: one stream for the client, one towards each server. */
export class Listeners {
  readonly #options: ListenOptions
  readonly #open = new Set<Subscription>()

  constructor(options: ListenOptions) {
    this.#options = options
  }

  listen(flow: Flow): void {
    const filter = readFilter(flow.message.params['notifications'])
    if (filter === undefined) {
      flow.reject(400, {
        code: RpcCode.invalidParams,
        message: `params.notifications must be a notification filter, with at most ${MAX_URIS} resources`,
      })
      return
    }
    flow.begin(undefined, undefined, () => {
      const subscription = new Subscription(flow, filter, this.#options)
      this.#open.add(subscription)
      flow.keptBy({
        settled: () => {
          this.#open.delete(subscription)
          subscription.close()
        },
      })
      void subscription.start()
    })
  }

  /** A notification of a server; true if it belongs to a subscription of this kind. */
  notice(message: Buffer, scan: MessageScan, call: Call): boolean {
    for (const subscription of this.#open) if (subscription.notice(message, scan, call)) return true
    return false
  }

  /** The set of servers has changed, and with it every list. */
  serversChanged(): void {
    for (const subscription of this.#open) subscription.serversChanged()
  }

  /** Ends all subscriptions the graceful way, with a result. */
  close(): void {
    for (const subscription of [...this.#open]) subscription.complete()
  }
}

interface Leg {
  readonly upstream: Upstream
  readonly filter: Filter
  /** Something may have been missed: the client is told so once the server listens again. */
  late: boolean
  call: InternalCall | undefined
  acknowledged: Filter | undefined
  timer: NodeJS.Timeout | undefined
}

class Subscription {
  readonly #flow: Flow
  readonly #filter: Filter
  readonly #options: ListenOptions
  readonly #legs = new Map<string, Leg>()
  #acknowledged = false
  #closed = false
  #timer: NodeJS.Timeout | undefined
  #joinTimer: NodeJS.Timeout | undefined

  constructor(flow: Flow, filter: Filter, options: ListenOptions) {
    this.#flow = flow
    this.#filter = filter
    this.#options = options
  }

  async start(): Promise<void> {
    this.#timer = setTimeout(() => this.#acknowledge(), this.#options.acknowledgeMs)
    await this.#join(false, RETRY_MS)
    this.#acknowledgeOnceComplete()
  }

  serversChanged(): void {
    for (const [name, leg] of this.#legs) {
      if (this.#options.upstreams.get(name) !== leg.upstream) this.#leave(leg)
    }
    void this.#join(false, RETRY_MS)
    this.#sendListsChanged()
  }

  notice(message: Buffer, scan: MessageScan, call: Call): boolean {
    const leg = [...this.#legs.values()].find((it) => it.call === call)
    if (leg === undefined) return false
    const method = String(parseJson(message.subarray(scan.methodStart, scan.methodEnd)))
    if (method === 'notifications/subscriptions/acknowledged') {
      const params = parseJson(message.subarray(scan.paramsStart, scan.paramsEnd))
      leg.acknowledged = readFilter(isRecord(params) ? params['notifications'] : undefined)
      this.#acknowledgeOnceComplete()
      if (leg.late) this.#tellMissed(leg)
      return true
    }
    if (method.endsWith('/list_changed')) {
      this.#options.onListChanged(this.#flow.context.principal.tenant, leg.upstream.name)
    }
    // nothing may come before the acknowledgement
    this.#acknowledge()
    if (scan.subscriptionStart >= 0) {
      this.#flow.interim(splice(message, [scan.subscriptionStart, scan.subscriptionEnd, this.#flow.idText]))
    }
    return true
  }

  complete(): void {
    const id: unknown = parseJson(Buffer.from(this.#flow.idText))
    this.#flow.answer(JSON.stringify({ resultType: 'complete', _meta: { [META_SUBSCRIPTION]: id } }))
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    clearTimeout(this.#joinTimer)
    for (const leg of this.#legs.values()) this.#leave(leg)
  }

  /** Listens on the servers that are not listened on yet; those that are away are tried again. */
  async #join(late: boolean, retryMs: number): Promise<void> {
    const owners = await this.#options.ownersOf(this.#flow, this.#filter.resourceSubscriptions)
    const view = await this.#options.views.of(this.#flow.context)
    const wanted = view.filter(({ name }) => !this.#legs.has(name))
    const joined = await Promise.all(wanted.map((upstream) => this.#joinOne(upstream, owners, late)))
    if (this.#closed || !joined.includes('away')) return
    clearTimeout(this.#joinTimer)
    const nextMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)
    this.#joinTimer = setTimeout(() => void this.#join(true, nextMs), retryMs)
  }

  async #joinOne(
    upstream: Upstream,
    owners: ReadonlyMap<string, Upstream | undefined>,
    late: boolean,
  ): Promise<'away' | undefined> {
    const suited = await Promise.all(
      ['tools', 'prompts', 'resources'].map((capability) =>
        suitsAfterAsking(upstream, this.#flow.context, capability),
      ),
    )
    if (this.#closed || this.#legs.has(upstream.name)) return undefined
    if (suited.some((it) => SallyportError.isInstance(it))) return 'away'
    const uris = this.#filter.resourceSubscriptions.filter((uri) => owners.get(uri) === upstream)
    const filter = { ...this.#filter, resourceSubscriptions: uris }
    if (!suited.includes(true) || Object.keys(wireFilter(filter)).length === 0) return undefined
    const leg: Leg = { upstream, filter, late, call: undefined, acknowledged: undefined, timer: undefined }
    this.#legs.set(upstream.name, leg)
    this.#open(leg, RETRY_MS)
    return undefined
  }

  #open(leg: Leg, retryMs: number): void {
    if (this.#closed || this.#legs.get(leg.upstream.name) !== leg) return
    const { upstream, filter } = leg
    const { context, message } = this.#flow
    const params = { notifications: wireFilter(filter), _meta: envelopeOf(message.params) }
    leg.call = new InternalCall(upstream.name, context, 'subscriptions/listen', params, [], (answer) => {
      leg.call = undefined
      if (this.#closed || this.#legs.get(upstream.name) !== leg) return
      // the server does not do this at all: nothing to wait for
      if ('error' in answer) {
        leg.acknowledged = readFilter({})
        this.#acknowledgeOnceComplete()
        return
      }
      leg.late = true
      // who listens need not wait for a server that is away: what it would have said is made up for later
      leg.acknowledged ??= readFilter({})
      this.#acknowledgeOnceComplete()
      this.#options.logger.debug('a subscription broke off', { server: upstream.name })
      leg.timer = setTimeout(() => this.#open(leg, Math.min(retryMs * 2, LONGEST_RETRY_MS)), retryMs)
    })
    upstream.modern(context.principal).send(leg.call)
  }

  #leave(leg: Leg): void {
    clearTimeout(leg.timer)
    this.#legs.delete(leg.upstream.name)
    const { call } = leg
    leg.call = undefined
    if (call !== undefined) leg.upstream.modern(this.#flow.context.principal).cancel(call, 'nobody listens')
  }

  /** What a client that misses a change would have been told. */
  #tellMissed(leg: Leg): void {
    leg.late = false
    this.#options.onListChanged(this.#flow.context.principal.tenant, leg.upstream.name)
    this.#sendListsChanged()
    for (const uri of leg.acknowledged?.resourceSubscriptions ?? [])
      this.#send('notifications/resources/updated', { uri })
  }

  #sendListsChanged(): void {
    for (const kind of ['tools', 'prompts', 'resources'] as const)
      if (this.#filter[`${kind}ListChanged`]) this.#send(`notifications/${kind}/list_changed`, {})
  }

  #acknowledgeOnceComplete(): void {
    if ([...this.#legs.values()].every(({ acknowledged }) => acknowledged !== undefined)) this.#acknowledge()
  }

  #acknowledge(): void {
    if (this.#acknowledged || this.#closed) return
    this.#acknowledged = true
    clearTimeout(this.#timer)
    const agreed = [...this.#legs.values()].flatMap(({ acknowledged }) => acknowledged ?? [])
    const uris = new Set(agreed.flatMap((filter) => filter.resourceSubscriptions))
    // lists also change when the gateway's servers do, so what was asked for about lists is always honoured
    const notifications = wireFilter({ ...this.#filter, resourceSubscriptions: [...uris] })
    this.#send('notifications/subscriptions/acknowledged', { notifications })
  }

  #send(method: string, params: Readonly<Record<string, unknown>>): void {
    if (method !== 'notifications/subscriptions/acknowledged') this.#acknowledge()
    const id: unknown = parseJson(Buffer.from(this.#flow.idText))
    const message = { jsonrpc: '2.0', method, params: { ...params, _meta: { [META_SUBSCRIPTION]: id } } }
    this.#flow.interim(Buffer.from(JSON.stringify(message)))
  }
}

/** Resources in one subscription. */
const MAX_URIS = 1_000

function readFilter(value: unknown): Filter | undefined {
  if (!isRecord(value)) return undefined
  const uris = value['resourceSubscriptions'] ?? []
  if (!Array.isArray(uris) || uris.length > MAX_URIS || !uris.every((uri) => typeof uri === 'string'))
    return undefined
  return {
    toolsListChanged: value['toolsListChanged'] === true,
    promptsListChanged: value['promptsListChanged'] === true,
    resourcesListChanged: value['resourcesListChanged'] === true,
    resourceSubscriptions: [...new Set(uris)],
  }
}

function wireFilter(filter: Filter): Readonly<Record<string, unknown>> {
  const { resourceSubscriptions, ...flags } = filter
  const set = Object.entries(flags).filter(([, wanted]) => wanted)
  return { ...Object.fromEntries(set), ...(resourceSubscriptions.length > 0 && { resourceSubscriptions }) }
}

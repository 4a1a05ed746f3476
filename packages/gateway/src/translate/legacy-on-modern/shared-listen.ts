import { type RequestContext, type SallyportError, UpstreamError } from '@sallyport/core'
import type { ModernLink } from '../../upstream/modern-link.ts'
import { isRecord, parseJson } from '../../wire/client-message.ts'
import { notificationMessage } from '../../wire/json-rpc.ts'
import { isReservedMeta } from './envelope.ts'
import { ListenCall, type ListenCallOwner, type ListenFilter } from './listen-call.ts'

/** A session that takes part. */
export interface ListenMember {
  /** Somebody is there to hear of changes of lists. */
  readonly listens: boolean
  /** What the server announces, by its capabilities. */
  readonly announces: Pick<ListenFilter, 'tools' | 'prompts' | 'resources'>
  /** Resources that the client subscribed to. */
  readonly uris: ReadonlySet<string>
  /** Of its newest request. */
  readonly modernContext: RequestContext
  deliver(message: Buffer): void
}

export interface SharedListenOptions {
  readonly server: string
  readonly clientInfo: unknown
  readonly link: (context: RequestContext) => ModernLink
  readonly acknowledgeMs: number
  /** How long a subscription that was replaced is still heard: on a connection of its own it may have something under way. */
  readonly lingerMs: number
  readonly onEmpty: () => void
}

interface Waiting {
  readonly uri: string
  readonly done: (error: SallyportError | undefined) => void
}

const RETRY_MS = 1_000
const LONGEST_RETRY_MS = 30_000

/**
 * What the sessions of one caller want to hear from one server, as one `subscriptions/listen` (2026-07-28
 * basic/patterns/subscriptions). A subscription cannot be changed, so a new set of wishes is a new one, which is acknowledged
 * before the old one ends.
 */
export class SharedListen implements ListenCallOwner {
  readonly #options: SharedListenOptions
  readonly #members = new Set<ListenMember>()
  /** Whoever last wanted something: the server is asked with its rights. */
  #asker: ListenMember | undefined
  #current: ListenCall | undefined
  #next: ListenCall | undefined
  /** Subscriptions that were replaced and are still heard. */
  readonly #leaving = new Map<ListenCall, NodeJS.Timeout>()
  readonly #agreed = new Set<string>()
  #waiting: Waiting[] = []
  #retry: NodeJS.Timeout | undefined
  #retryMs = RETRY_MS
  /** The server said no to this: there is no use in asking again. */
  #refused: string | undefined
  /** Nobody heard the server for a while. */
  #missed = false
  #closed = false

  constructor(options: SharedListenOptions) {
    this.#options = options
  }

  join(member: ListenMember): void {
    this.#members.add(member)
    this.#asker = member
  }

  leave(member: ListenMember): void {
    this.#members.delete(member)
    if (this.#asker === member) this.#asker = [...this.#members].at(-1)
    this.update()
    if (this.#members.size > 0) return
    this.close()
    this.#options.onEmpty()
  }

  /** Calls back once the server has agreed to tell of this resource, or with the reason why it does not. */
  subscribe(member: ListenMember, uri: string, done: (error: SallyportError | undefined) => void): void {
    if (this.#agreed.has(uri)) {
      done(undefined)
      return
    }
    this.#waiting.push({ uri, done })
    this.wants(member)
  }

  /** The member wants something else than before. */
  wants(member: ListenMember): void {
    this.#asker = member
    this.update()
  }

  /** Wishes have changed. */
  update(): void {
    // one change at a time: what is wanted then is looked at when it is through
    if (this.#next !== undefined || this.#closed) return
    const wanted = this.#wanted()
    const key = JSON.stringify(wanted)
    this.#forgetUnwanted(wanted)
    if (!wanted.tools && !wanted.prompts && !wanted.resources && wanted.uris.length === 0) {
      clearTimeout(this.#retry)
      this.#refused = undefined
      this.#missed = false
      this.#drop()
    } else if (this.#current === undefined || JSON.stringify(this.#current.filter) !== key) {
      if (this.#refused === key) this.#failWaiting(this.#refusal())
      else this.#open(wanted)
    } else this.#settleWaiting()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
    const error = new UpstreamError(
      'ERR_UPSTREAM_UNAVAILABLE',
      this.#options.server,
      'the session was closed',
    )
    this.#failWaiting(error)
    this.#next?.close()
    this.#drop()
    for (const call of [...this.#leaving.keys()]) this.#letGo(call)
  }

  acknowledged(call: ListenCall, uris: ReadonlySet<string>): void {
    if (call !== this.#next) return
    const before = this.#current
    this.#next = undefined
    this.#current = call
    this.#refused = undefined
    this.#retryMs = RETRY_MS
    this.#agreed.clear()
    for (const uri of uris) this.#agreed.add(uri)
    if (before !== undefined) this.#linger(before)
    this.#settleWaiting()
    if (this.#missed) this.#tellMissed()
    this.update()
  }

  notified(call: ListenCall, method: string, message: Buffer): void {
    if (call !== this.#current && !this.#leaving.has(call)) return
    const shown = legacyNotification(message)
    const uri = method === 'notifications/resources/updated' ? uriOf(message) : undefined
    for (const member of this.#audience(method, uri)) member.deliver(shown)
  }

  ended(call: ListenCall, error: SallyportError | undefined, refused: boolean): void {
    if (this.#closed) return
    if (call === this.#next) {
      this.#next = undefined
      if (refused) this.#refused = JSON.stringify(call.filter)
      this.#failWaiting(error ?? this.#refusal())
      if (!refused) this.#later()
      else if (JSON.stringify(this.#wanted()) !== this.#refused) this.update()
    } else if (call === this.#current) {
      this.#current = undefined
      this.#agreed.clear()
      this.#missed = true
      if (this.#next === undefined) this.#later()
    } else this.#letGo(call)
  }

  #wanted(): ListenFilter {
    const listening = [...this.#members].filter(({ listens }) => listens)
    const wants = (kind: 'tools' | 'prompts' | 'resources') =>
      listening.some(({ announces }) => announces[kind])
    const uris = new Set([...this.#members].flatMap((member) => [...member.uris]))
    return {
      tools: wants('tools'),
      prompts: wants('prompts'),
      resources: wants('resources'),
      uris: [...uris].sort(),
    }
  }

  #open(filter: ListenFilter): void {
    clearTimeout(this.#retry)
    const { server, clientInfo, link, acknowledgeMs } = this.#options
    if (this.#asker === undefined) return
    const { principal, era, protocolVersion } = this.#asker.modernContext
    const context: RequestContext = { principal, era, protocolVersion }
    const call = new ListenCall(server, link(context), context, clientInfo, filter, this)
    this.#next = call
    call.open(acknowledgeMs)
  }

  #later(): void {
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.update(), this.#retryMs)
    this.#retry.unref()
    this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS)
  }

  #linger(call: ListenCall): void {
    const { lingerMs } = this.#options
    if (lingerMs === 0) {
      call.close()
      return
    }
    const timer = setTimeout(() => this.#letGo(call), lingerMs)
    timer.unref()
    this.#leaving.set(call, timer)
  }

  #letGo(call: ListenCall): void {
    clearTimeout(this.#leaving.get(call))
    if (this.#leaving.delete(call)) call.close()
  }

  #drop(): void {
    this.#current?.close()
    this.#current = undefined
    this.#agreed.clear()
  }

  /** The uri of an update may be one below that which was subscribed to (2025-11-25 server/resources, "Subscriptions"). */
  #audience(method: string, uri: string | undefined): readonly ListenMember[] {
    const members = [...this.#members]
    if (uri === undefined) {
      if (!method.endsWith('/list_changed')) return members
      return members.filter(({ listens }) => listens)
    }
    const named = members.filter(({ uris }) => uris.has(uri))
    return named.length > 0 ? named : members.filter(({ uris }) => uris.size > 0)
  }

  /** What a client that missed a change would have been told. */
  #tellMissed(): void {
    this.#missed = false
    for (const member of this.#members) {
      for (const kind of ['tools', 'prompts', 'resources'] as const)
        if (member.listens && member.announces[kind])
          member.deliver(notificationMessage(`notifications/${kind}/list_changed`))
      for (const uri of member.uris)
        member.deliver(notificationMessage('notifications/resources/updated', { uri }))
    }
  }

  #settleWaiting(): void {
    const asked = new Set(this.#current?.filter.uris)
    const still: Waiting[] = []
    for (const waiting of this.#waiting.splice(0)) {
      if (!asked.has(waiting.uri)) still.push(waiting)
      else waiting.done(this.#agreed.has(waiting.uri) ? undefined : this.#refusal())
    }
    this.#waiting.push(...still)
  }

  /** Whoever waited has changed his mind. */
  #forgetUnwanted({ uris }: ListenFilter): void {
    const dropped = this.#waiting.filter(({ uri }) => !uris.includes(uri))
    this.#waiting = this.#waiting.filter(({ uri }) => uris.includes(uri))
    for (const { done } of dropped) done(this.#refusal())
  }

  #failWaiting(error: SallyportError): void {
    for (const { done } of this.#waiting.splice(0)) done(error)
  }

  #refusal(): SallyportError {
    const message = 'does not tell of changes of this resource'
    return new UpstreamError('ERR_UPSTREAM_PROTOCOL', this.#options.server, message)
  }
}

/** Without what binds it to a subscription. */
function legacyNotification(message: Buffer): Buffer {
  const value = parseJson(message)
  const params = isRecord(value) ? value['params'] : undefined
  if (!isRecord(value) || !isRecord(params) || !isRecord(params['_meta'])) return message
  const { _meta, ...rest } = params
  const kept = Object.entries(_meta).filter(([name]) => !isReservedMeta(name))
  const shown = kept.length === 0 ? rest : { ...rest, _meta: Object.fromEntries(kept) }
  const { params: _params, ...head } = value
  return Buffer.from(JSON.stringify(Object.keys(shown).length === 0 ? head : { ...head, params: shown }))
}

function uriOf(message: Buffer): string | undefined {
  const value = parseJson(message)
  const params = isRecord(value) ? value['params'] : undefined
  const uri = isRecord(params) ? params['uri'] : undefined
  return typeof uri === 'string' ? uri : undefined
}

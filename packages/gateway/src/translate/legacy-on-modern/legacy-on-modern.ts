import { type Logger, principalKey, type RequestContext, SallyportError } from '@sallyport/core'
import type { EraAnswer, EraVerdict } from '../../upstream/era.ts'
import type { LegacyTransport, LegacyTransportOwner } from '../../upstream/legacy-transport.ts'
import type { ModernLink } from '../../upstream/modern-link.ts'
import type { LegacyOpening } from '../../upstream/upstream.ts'
import { LEGACY_VERSIONS } from '../../wire/protocol.ts'
import { type EitherEra, EitherEraTransport } from './either-era-transport.ts'
import { ModernSession } from './modern-session.ts'
import { type ListenMember, SharedListen } from './shared-listen.ts'
import { ToolMemory } from './tool-memory.ts'

/** The server behind the translation, as the gateway knows it. */
export interface LegacyOnModernOptions {
  readonly server: string
  readonly isHttp: boolean
  readonly clientInfo: unknown
  readonly logger: Logger
  readonly now: () => number
  readonly probeMs: number
  readonly inputRoundMs: number
  readonly link: (context: RequestContext) => ModernLink
  readonly verdict: () => EraVerdict | undefined
  /** The server refused `initialize`, and serves the modern era. */
  readonly refused: () => void
  readonly ask: (context: RequestContext) => Promise<EraAnswer>
  readonly passThrough: (opening: LegacyOpening) => LegacyTransport
}

/** A refusal of `initialize` is believed for this long: servers get upgraded. */
const REFUSAL_MS = 600_000
/** A server is not asked again for its era more often than this, however many calls find it changed. */
const RECHECK_MS = 10_000
const LINGER_MS = 500

/** Sessions of legacy clients with one server that may speak the modern era only. */
export class LegacyOnModern {
  readonly #options: LegacyOnModernOptions
  readonly #tools = new ToolMemory()
  readonly #listens = new Map<string, SharedListen>()
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(options: LegacyOnModernOptions) {
    this.#options = options
  }

  get options(): LegacyOnModernOptions {
    return this.#options
  }

  open(opening: LegacyOpening): LegacyTransport {
    return new EitherEraTransport(new Ways(this, opening))
  }

  close(): void {
    for (const listen of this.#listens.values()) listen.close()
    this.#listens.clear()
  }

  session({ caller, owner }: LegacyOpening): ModernSession {
    const { server, isHttp, logger, inputRoundMs, link } = this.#options
    return new ModernSession({
      server,
      isHttp,
      owner,
      caller,
      link: () => link(caller.context),
      tools: this.#tools,
      logger,
      inputRoundMs,
      listen: (member) => this.#listen(member),
      isModern: async () => {
        const answer = await this.ask(caller.context)
        return SallyportError.isInstance(answer) || answer.modern !== undefined
      },
    })
  }

  #listen(member: ListenMember): SharedListen {
    const key = principalKey(member.modernContext.principal)
    let shared = this.#listens.get(key)
    if (shared === undefined) {
      const { server, isHttp, clientInfo, link, probeMs } = this.#options
      shared = new SharedListen({
        server,
        clientInfo,
        link,
        acknowledgeMs: probeMs,
        lingerMs: isHttp ? LINGER_MS : 0,
        onEmpty: () => void this.#listens.delete(key),
      })
      this.#listens.set(key, shared)
    }
    shared.join(member)
    return shared
  }

  refuses({ modern, legacy }: EraVerdict): boolean {
    if (modern === undefined || legacy === 'untried' || !('refusedAt' in legacy)) return false
    // a server that says it speaks the legacy era is taken at its word, each time
    if (modern.versions.some((version) => LEGACY_VERSIONS.includes(version))) return false
    return this.#options.now() - legacy.refusedAt < REFUSAL_MS
  }

  async ask(context: RequestContext): Promise<EraAnswer> {
    const { now, verdict, ask } = this.#options
    const known = verdict()
    if (known !== undefined && now() - this.#askedAt < RECHECK_MS) return known
    this.#askedAt = now()
    return ask(context)
  }
}

/** What one session needs of all that. */
class Ways implements EitherEra {
  readonly #all: LegacyOnModern
  readonly #opening: LegacyOpening

  constructor(all: LegacyOnModern, opening: LegacyOpening) {
    this.#all = all
    this.#opening = opening
  }

  get server(): string {
    return this.#all.options.server
  }

  get owner(): LegacyTransportOwner {
    return this.#opening.owner
  }

  get silenceMs(): number {
    return this.#all.options.probeMs
  }

  get verdict(): EraVerdict | undefined {
    return this.#all.options.verdict()
  }

  get refuses(): boolean {
    const { verdict } = this
    return verdict !== undefined && this.#all.refuses(verdict)
  }

  refused(): void {
    this.#all.options.refused()
  }

  ask(): Promise<EraAnswer> {
    return this.#all.ask(this.#opening.caller.context)
  }

  passThrough(owner: LegacyTransportOwner): LegacyTransport {
    return this.#all.options.passThrough({ ...this.#opening, owner })
  }

  translate(): ModernSession {
    return this.#all.session(this.#opening)
  }
}

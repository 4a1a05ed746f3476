import { principalKey, type RequestContext, SallyportError } from '@sallyport/core'
import { answerWithin, type EraAnswer, type EraVerdict } from './era.ts'
import { notSent } from './not-sent.ts'
import type { Reachability } from './reachability.ts'
import { type EraStatus, publishEra, versionsOf } from './upstream-status.ts'

export interface EraKnowledgeOptions {
  readonly server: string
  readonly now: () => number
  readonly probeMs: number
  /** The server gets credentials of the caller. */
  readonly perPrincipal: boolean
  readonly reachability: Reachability
  /** Asks the server. Never rejects. */
  readonly probe: (context: RequestContext) => Promise<EraAnswer>
  /** It answered in the modern era. */
  readonly onModern: () => void
}

/** Legacy verdicts are asked again after this time: servers get upgraded. */
const VERDICT_MS = 600_000
/** An unreachable server is not asked again for this long. */
const FAILURE_MS = 1_000

/** What is known of the eras that one server speaks, and the questions about it that are under way. */
export class EraKnowledge {
  readonly #options: EraKnowledgeOptions
  #verdict: EraVerdict | undefined
  #verdictAt = 0
  readonly #asking = new Map<string, { readonly answer: Promise<EraAnswer>; readonly since: number }>()
  readonly #failures = new Map<string, { readonly error: SallyportError; readonly at: number }>()

  constructor(options: EraKnowledgeOptions) {
    this.#options = options
  }

  /** The verdict if it is known; one that has become old is asked for again. */
  get verdict(): EraVerdict | undefined {
    const verdict = this.#verdict
    if (verdict === undefined) return undefined
    if (verdict.modern === undefined && this.#options.now() - this.#verdictAt > VERDICT_MS) void this.ask()
    return verdict
  }

  get status(): EraStatus | undefined {
    const verdict = this.#verdict
    if (verdict === undefined) return undefined
    return { ...versionsOf(verdict), ageMs: this.#options.now() - this.#verdictAt }
  }

  /**
   * Asks the server unless it was asked not long ago. Never rejects. Whoever asks waits for `probeMs` at most; an answer that
   * comes later counts all the same.
   * @param anew it gave reason to believe that it is another server now
   */
  ask(context = ownContext(), anew = false): Promise<EraAnswer> {
    const { now, probeMs, server, probe } = this.#options
    const known = this.#verdict
    if (!anew && known !== undefined && (known.modern !== undefined || now() - this.#verdictAt < VERDICT_MS))
      return Promise.resolve(known)
    const key = this.#askerKey(context)
    const failure = this.#failures.get(key)
    if (failure !== undefined && now() - failure.at < FAILURE_MS) return Promise.resolve(failure.error)
    const asking = this.#asking.get(key)
    if (asking !== undefined) return answerWithin(probeMs, server, asking.answer)
    const answer = probe(context).then((answered) => {
      this.#asking.delete(key)
      const found = SallyportError.isInstance(answered) ? notSent(answered, FAILURE_MS) : answered
      if (SallyportError.isInstance(found)) this.#failed(key, found)
      else this.#answered(found, known)
      return found
    })
    this.#asking.set(key, { answer, since: performance.now() })
    return answerWithin(probeMs, server, answer)
  }

  /** Milliseconds for which the server has owed the answer to the question under way; 0 if there is none. */
  askedForMs(context: RequestContext): number {
    const asking = this.#asking.get(this.#askerKey(context))
    return asking === undefined ? 0 : performance.now() - asking.since
  }

  /** The last attempt to ask failed, so another one is not worth waiting for. */
  hasFailed(context: RequestContext): boolean {
    return this.#failures.has(this.#askerKey(context))
  }

  /** A server of the modern era refused a session of the legacy one. */
  legacyRefused(): void {
    const verdict = this.#verdict
    if (verdict?.modern !== undefined)
      this.#decide({ ...verdict, legacy: { refusedAt: this.#options.now() } })
  }

  #failed(key: string, error: SallyportError): void {
    const { now, reachability } = this.#options
    // a consent may be given at any moment, and the person who gave it tries again at once
    const keeps = error.code !== 'ERR_CONSENT_REQUIRED'
    reachability.erred(error)
    this.#failures.set(key, { error, at: keeps ? now() : Number.NEGATIVE_INFINITY })
  }

  #answered(found: EraVerdict, before: EraVerdict | undefined): void {
    this.#failures.clear()
    // that it speaks the modern era does not say that it would not refuse the other one again
    const both = found.modern !== undefined && before?.modern !== undefined
    this.#decide(both ? { ...found, legacy: before.legacy } : found)
    this.#verdictAt = this.#options.now()
    if (found.modern !== undefined) this.#options.onModern()
  }

  #decide(found: EraVerdict): void {
    publishEra(this.#options.server, this.#verdict, found)
    this.#verdict = found
  }

  /** What goes wrong with one caller's credentials (a consent that is missing) is neither true nor meant for others. */
  #askerKey({ principal }: RequestContext): string {
    return this.#options.perPrincipal ? principalKey(principal) : ''
  }
}

function ownContext(): RequestContext {
  return {
    principal: { tenant: 'local', subject: 'local', roles: [], scopes: [] },
    era: 'legacy',
    protocolVersion: '',
  }
}

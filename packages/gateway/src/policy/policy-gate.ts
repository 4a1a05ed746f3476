import {
  GatewayError,
  type JsonObject,
  type Logger,
  type Policy,
  type PolicyDecision,
  type PolicyTarget,
  type PolicyTargetKind,
  type Principal,
  SallyportError,
} from '@sallyport/core'
import { whenAll } from '../call/when-all.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { isWatched } from './policy.ts'
import { RulePolicy } from './rule-policy.ts'

/** A decision, or why there is none. */
export type Verdict =
  | PolicyDecision
  | { readonly effect: 'failed'; readonly error: SallyportError; readonly volatile: true }

/** Names that are remembered per caller, server and kind: callers choose them, so there could be any number. */
const MOST_NAMES = 1_000
const LONGEST_NAME = 256
/** Callers whose decisions are remembered although each of their requests comes with an object of its own. */
const MOST_CLASSES = 10_000

const ASKS = ['sampling', 'elicitation', 'roots'] as const

type Names = Map<string, Verdict>

/** What is remembered for one caller, or for all who are alike. */
class Decisions {
  readonly byServer = new Map<string, Map<PolicyTargetKind, Names>>()
  /** The servers that were last asked about, and which of them may be seen. */
  asked: readonly Upstream[] | undefined
  visible: readonly Upstream[] = []
}

/** The gateway's side of the policy port: decisions are remembered, and a policy that fails refuses. */
export class PolicyGate {
  readonly #policy: Policy
  readonly #logger: Logger
  #decisions = new WeakMap<Principal, Decisions>()
  /** By class of principals, for rules only: what another policy looks at, nobody knows. */
  #classes = new Map<string, Decisions>()
  #generation = 0
  readonly #unwatch: (() => void) | undefined

  /** @param onChange called after the policy has changed and all decisions are forgotten */
  constructor(policy: Policy, logger: Logger, onChange: () => void) {
    this.#policy = policy
    this.#logger = logger
    if (isWatched(policy)) {
      this.#unwatch = policy.watch(() => {
        this.#decisions = new WeakMap()
        this.#classes = new Map()
        this.#generation++
        onChange()
      })
    }
  }

  /** Goes up with each change of the policy. */
  get generation(): number {
    return this.#generation
  }

  /** What is decided without arguments: at once if it is remembered, or if the policy needs no time. */
  decide(
    principal: Principal,
    server: string,
    kind: PolicyTargetKind,
    name: string,
  ): Verdict | Promise<Verdict> {
    return (
      this.#remembered(principal)?.byServer.get(server)?.get(kind)?.get(name) ??
      this.#ask(principal, { kind, server, name })
    )
  }

  decideCall(
    principal: Principal,
    server: string,
    kind: PolicyTargetKind,
    name: string,
    given: JsonObject,
  ): Verdict | Promise<Verdict> {
    return this.#askPolicy(principal, { kind, server, name, arguments: given })
  }

  /** Those of some servers that the caller may know of. */
  visible(
    principal: Principal,
    servers: readonly Upstream[],
  ): readonly Upstream[] | Promise<readonly Upstream[]> {
    const known = this.#remembered(principal)
    if (known?.asked === servers) return known.visible
    const verdicts = servers.map(({ name }) => this.decide(principal, name, 'server', ''))
    const generation = this.#generation
    return whenAll(verdicts, (decided) => {
      const visible = servers.filter((_, index) => isShown(decided[index]))
      const decisions = this.#remembered(principal)
      const lasting = generation === this.#generation && !decided.some(({ volatile }) => volatile === true)
      if (decisions !== undefined && lasting) {
        decisions.asked = servers
        decisions.visible = visible
      }
      return visible
    })
  }

  /** The methods that a server may not use to ask the caller something. */
  forbiddenAsks(principal: Principal, server: string): readonly string[] | Promise<readonly string[]> {
    const verdicts = ASKS.map((name) => this.decide(principal, server, 'ask', name))
    return whenAll(verdicts, (decided) => ASKS.filter((_, index) => decided[index]?.effect !== 'allow'))
  }

  close(): void {
    this.#unwatch?.()
  }

  #remembered(principal: Principal): Decisions | undefined {
    const known = this.#decisions.get(principal)
    if (known !== undefined || !(this.#policy instanceof RulePolicy)) return known
    // authenticators may make an object for each request: equal ones share
    const alike = this.#classes.get(this.#policy.classOf(principal))
    if (alike !== undefined) this.#decisions.set(principal, alike)
    return alike
  }

  #ask(principal: Principal, target: PolicyTarget): Verdict | Promise<Verdict> {
    const decided = this.#askPolicy(principal, target)
    if (!(decided instanceof Promise)) return this.#keep(principal, target, decided, this.#generation)
    const generation = this.#generation
    return decided.then((verdict) => this.#keep(principal, target, verdict, generation))
  }

  #keep(principal: Principal, target: PolicyTarget, verdict: Verdict, generation: number): Verdict {
    const passing = verdict.volatile === true || generation !== this.#generation
    if (passing || target.name.length > LONGEST_NAME) return verdict
    const decisions = this.#decisions.get(principal) ?? this.#begin(principal)
    const kinds = decisions.byServer.get(target.server) ?? new Map<PolicyTargetKind, Names>()
    decisions.byServer.set(target.server, kinds)
    const names = kinds.get(target.kind) ?? new Map<string, Verdict>()
    kinds.set(target.kind, names)
    const [oldest] = names.size >= MOST_NAMES ? names.keys() : []
    if (oldest !== undefined) names.delete(oldest)
    names.set(target.name, verdict)
    return verdict
  }

  #begin(principal: Principal): Decisions {
    const decisions = new Decisions()
    this.#decisions.set(principal, decisions)
    if (this.#policy instanceof RulePolicy) {
      const [oldest] = this.#classes.size >= MOST_CLASSES ? this.#classes.keys() : []
      if (oldest !== undefined) this.#classes.delete(oldest)
      this.#classes.set(this.#policy.classOf(principal), decisions)
    }
    return decisions
  }

  #askPolicy(principal: Principal, target: PolicyTarget): Verdict | Promise<Verdict> {
    try {
      const decided = this.#policy.decide(principal, target)
      return decided instanceof Promise ? decided.catch((cause: unknown) => this.#failed(cause)) : decided
    } catch (cause) {
      return this.#failed(cause)
    }
  }

  #failed(cause: unknown): Verdict {
    this.#logger.error('the policy failed', { cause: String(cause) })
    const error = SallyportError.isInstance(cause)
      ? cause
      : new GatewayError('ERR_FORBIDDEN', 'the policy could not decide', { cause })
    return { effect: 'failed', error, volatile: true }
  }
}

/** Whether a list shows it. */
export function isShown(verdict: Verdict | undefined): boolean {
  if (verdict === undefined || verdict.effect === 'failed') return false
  return verdict.effect !== 'deny' || verdict.listed === true
}

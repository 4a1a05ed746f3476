import {
  ConfigError,
  type ConfigIssue,
  type ExplainingPolicy,
  type Policy,
  type PolicyDecision,
  type PolicyExplanation,
  type PolicyTarget,
  type Principal,
  type WatchedPolicy,
} from '@sallyport/core'
import { whenAll } from '../call/when-all.ts'
import { CheckedRule, type PolicyRule } from './rule.ts'
import { RulePolicy } from './rule-policy.ts'

export type PolicyEntry = PolicyRule | Policy

/**
 * One policy of rules and of policies of your own. The rules are one set: nothing is allowed that none of them allows, or that
 * one of them denies. Each other policy has to allow as well.
 */
export function policy(...entries: readonly PolicyEntry[]): ExplainingPolicy {
  const rules = entries.flatMap((entry) => (entry instanceof CheckedRule ? [entry] : []))
  const others = entries.flatMap((entry) => (isPolicy(entry) ? [entry] : []))
  if (rules.length + others.length < entries.length) throw new ConfigError(entryIssues(entries))
  const [first, ...more] = rules.length > 0 ? [new RulePolicy(rules), ...others] : others
  if (first === undefined) return new RulePolicy([])
  return more.length === 0 && isExplaining(first) ? first : new EveryPolicy([first, ...more])
}

/** A policy that can be exchanged while the gateway runs: clients are told that their lists have changed. */
export interface ReplaceablePolicy extends ExplainingPolicy, WatchedPolicy {
  replace(next: PolicyEntry | readonly PolicyEntry[]): void
}

export function createReplaceablePolicy(initial: PolicyEntry | readonly PolicyEntry[]): ReplaceablePolicy {
  let current = policyOf(initial)
  const listeners = new Set<() => void>()
  return {
    decide: (principal, target) => current.decide(principal, target),
    explain: (principal, target) => explainPolicy(current, principal, target),
    watch(listener) {
      const own = () => listener()
      listeners.add(own)
      return () => void listeners.delete(own)
    },
    replace(next) {
      current = policyOf(next)
      for (const listener of listeners) listener()
    },
  }
}

/** What `createGateway` takes, as one policy. */
export function policyOf(given: PolicyEntry | readonly PolicyEntry[]): Policy {
  if (isEntries(given)) return policy(...given)
  return isPolicy(given) ? given : policy(given)
}

function entryIssues(entries: readonly PolicyEntry[]): readonly ConfigIssue[] {
  const message = 'expected what allow() and deny() return, or an object with decide()'
  return entries.flatMap((entry, index) => {
    if (entry instanceof CheckedRule || isPolicy(entry)) return []
    return [{ path: entries.length === 1 ? 'policy' : `policy.${index}`, message }]
  })
}

/** Looks closely, since whoever writes JavaScript may give anything. */
function isPolicy(entry: PolicyEntry): entry is Policy {
  if (typeof entry !== 'object' || entry === null) return false
  return 'decide' in entry && typeof entry.decide === 'function'
}

/**
 * Why a policy decides as it does: the reasons it gives, or, for one that gives none, the decision alone. Does not look at
 * whether there is such a server or tool.
 */
export function explainPolicy(
  given: PolicyEntry | readonly PolicyEntry[],
  principal: Principal,
  target: PolicyTarget,
): PolicyExplanation | Promise<PolicyExplanation> {
  const asked = policyOf(given)
  if (isExplaining(asked)) return asked.explain(principal, target)
  const bare = { kind: target.kind, server: target.server, name: target.name }
  const decision = asked.decide(principal, target)
  const listed = target.arguments === undefined ? decision : asked.decide(principal, bare)
  if (!(decision instanceof Promise) && !(listed instanceof Promise))
    return withoutReasons(target, decision, listed)
  return Promise.all([decision, listed]).then(([decided, shown]) => withoutReasons(target, decided, shown))
}

function isEntries(given: PolicyEntry | readonly PolicyEntry[]): given is readonly PolicyEntry[] {
  return Array.isArray(given)
}

function isExplaining(given: Policy): given is ExplainingPolicy {
  return 'explain' in given && typeof given.explain === 'function'
}

/** Allows what every one of several policies allows. */
export class EveryPolicy implements ExplainingPolicy, WatchedPolicy {
  readonly policies: readonly Policy[]

  constructor(policies: readonly Policy[]) {
    this.policies = policies
  }

  decide(principal: Principal, target: PolicyTarget): PolicyDecision | Promise<PolicyDecision> {
    return whenAll(
      this.policies.map((each) => each.decide(principal, target)),
      strictest,
    )
  }

  explain(principal: Principal, target: PolicyTarget): PolicyExplanation | Promise<PolicyExplanation> {
    return whenAll(
      this.policies.map((each) => explainPolicy(each, principal, target)),
      leastAllowed,
    )
  }

  watch(listener: () => void): () => void {
    const ends = this.policies.flatMap((each) => (isWatched(each) ? [each.watch(listener)] : []))
    return () => {
      for (const end of ends) end()
    }
  }
}

export function isWatched(given: Policy): given is WatchedPolicy {
  return 'watch' in given && typeof given.watch === 'function'
}

function strictest(decisions: readonly PolicyDecision[]): PolicyDecision {
  const volatile = decisions.some((decision) => decision.volatile === true) ? { volatile: true as const } : {}
  const denials = decisions.flatMap((decision) => (decision.effect === 'deny' ? [decision] : []))
  if (denials.length === 0) {
    const depends = decisions.some(({ effect }) => effect === 'depends')
    return { effect: depends ? 'depends' : 'allow', ...volatile }
  }
  // scopes help only if they lift every refusal
  const liftable = denials.every(({ scopes }) => scopes !== undefined)
  const scopes = [...new Set(denials.flatMap((denial) => denial.scopes ?? []))]
  const message = denials.find((denial) => denial.message !== undefined)?.message
  return {
    effect: 'deny',
    ...(liftable && { scopes }),
    ...(denials.every(({ listed }) => listed === true) && { listed: true as const }),
    ...(message !== undefined && { message }),
    ...volatile,
  }
}

const permissiveness = { hidden: 0, denied: 1, depends: 2, allowed: 3 } as const

function leastAllowed(explanations: readonly PolicyExplanation[]): PolicyExplanation {
  const [least] = explanations.toSorted(
    (left, right) => permissiveness[left.outcome] - permissiveness[right.outcome],
  )
  if (least === undefined) throw new RangeError('no policy was asked')
  return least
}

function withoutReasons(
  target: PolicyTarget,
  decision: PolicyDecision,
  listed: PolicyDecision,
): PolicyExplanation {
  const { effect } = decision
  const shown = listed.effect !== 'deny' || listed.listed === true
  const refused = effect === 'deny' || (effect === 'depends' && target.arguments !== undefined)
  const outcome = effect === 'allow' ? 'allowed' : !refused ? 'depends' : shown ? 'denied' : 'hidden'
  const scopes = effect === 'deny' ? decision.scopes : undefined
  return {
    outcome,
    reason: scopes === undefined ? 'the policy gives no reasons' : `the scope ${scopes.join(' ')} is missing`,
    rules: [],
    needs: [],
  }
}

import type {
  ExplainingPolicy,
  PolicyCondition,
  PolicyDecision,
  PolicyExplanation,
  PolicyNeed,
  PolicyRuleReference,
  PolicyRuleVerdict,
  PolicyTarget,
  Principal,
} from '@sallyport/core'
import { Glob } from './glob.ts'
import type { CheckedRule } from './rule.ts'
import { uriReadings } from './uri-readings.ts'

/** Nothing with a longer name is allowed: it is no name, and reading it in all ways takes long. */
const LONGEST_NAME = 8_192
/** Servers write templates, and comparing patterns with them takes the product of their lengths. */
const LONGEST_TEMPLATE = 1_024

/** Rules. Nothing is allowed that no rule allows, and nothing that a rule denies; their order has no meaning. */
export class RulePolicy implements ExplainingPolicy {
  readonly rules: readonly CheckedRule[]

  constructor(rules: readonly CheckedRule[]) {
    this.rules = rules
  }

  decide(principal: Principal, target: PolicyTarget): PolicyDecision {
    return this.#judge(principal, target).decision
  }

  explain(principal: Principal, target: PolicyTarget): PolicyExplanation {
    const judgement = this.#judge(principal, target)
    const { decision, rule, verdicts, needs } = judgement
    const outcome = this.#outcome(principal, target, decision)
    return {
      outcome,
      ...(rule !== undefined && { rule: referenceOf(rule) }),
      reason: reasonFor(outcome, judgement),
      rules: verdicts.map(({ missingScopes: _, ...verdict }) => verdict),
      needs: decision.effect === 'deny' ? needs : [],
    }
  }

  /** Equal for principals whom no rule can tell apart. */
  classOf({ tenant, issuer, subject, clientId, roles, scopes }: Principal): string {
    return JSON.stringify([tenant, issuer ?? null, subject, clientId ?? null, roles, scopes])
  }

  #outcome(
    principal: Principal,
    target: PolicyTarget,
    decision: PolicyDecision,
  ): PolicyExplanation['outcome'] {
    if (decision.effect === 'allow') return 'allowed'
    if (decision.effect === 'depends') return 'depends'
    if (decision.listed === true) return 'denied'
    if (target.arguments === undefined) return 'hidden'
    const { arguments: _, ...bare } = target
    const listed = this.decide(principal, bare)
    return listed.effect === 'deny' && listed.listed !== true ? 'hidden' : 'denied'
  }

  /** A resource has to be allowed however its URI is read. */
  #judge(principal: Principal, target: PolicyTarget): Judgement {
    const longest = target.kind === 'resourceTemplate' ? LONGEST_TEMPLATE : LONGEST_NAME
    if (target.name.length > longest)
      return { decision: { effect: 'deny' }, rule: undefined, verdicts: [], needs: [] }
    if (target.kind !== 'resource') return this.#judgeReading(principal, target)
    let worst: Judgement | undefined
    for (const name of uriReadings(target.name)) {
      const judgement = {
        ...this.#judgeReading(principal, { ...target, name }),
        ...(name !== target.name && { reading: name }),
      }
      if (worst === undefined || isWorse(judgement, worst)) worst = judgement
    }
    return worst ?? this.#judgeReading(principal, target)
  }

  #judgeReading(principal: Principal, target: PolicyTarget): Judgement {
    const verdicts = this.rules.map((rule, index) => verdictOf(rule, index, principal, target))
    const denies = verdicts.filter(({ effect }) => effect === 'deny')
    const allows = verdicts.filter(({ effect }) => effect === 'allow')
    const denied = denies.find(({ applies }) => applies === 'yes')
    if (denied !== undefined)
      return { decision: refusal(this.rules[denied.index]), rule: denied, verdicts, needs: [] }
    if (target.kind === 'ask' || target.kind === 'server')
      return this.#judgeServer(principal, target, verdicts)
    const doubted = denies.find(({ applies }) => applies === 'depends')
    const allowed = allows.find(({ applies }) => applies === 'yes')
    if (allowed !== undefined && doubted === undefined)
      return { decision: { effect: 'allow' }, rule: allowed, verdicts, needs: [] }
    const perhaps = allowed ?? allows.find(({ applies }) => applies === 'depends')
    if (perhaps !== undefined)
      return {
        decision: { effect: 'depends' },
        rule: allowed === undefined ? perhaps : doubted,
        verdicts,
        needs: [],
      }
    return this.#missing(principal, target, verdicts, allows)
  }

  /** A server is there for whoever may use something on it, and may then ask what no rule forbids. */
  #judgeServer(principal: Principal, target: PolicyTarget, verdicts: readonly Verdict[]): Judgement {
    const asked: PolicyTarget = { kind: 'server', server: target.server, name: '' }
    const all =
      target.kind === 'server'
        ? verdicts
        : this.rules.map((rule, index) => verdictOf(rule, index, principal, asked))
    const denied = all.find(({ effect, applies }) => effect === 'deny' && applies === 'yes')
    if (denied !== undefined) return { decision: { effect: 'deny' }, rule: denied, verdicts, needs: [] }
    const allows = all.filter(({ effect }) => effect === 'allow')
    const allowed = allows.find(
      ({ applies, failed, index }) =>
        applies !== 'no' || (isOnlyScope(failed) && this.rules[index]?.advertise === true),
    )
    if (allowed !== undefined) return { decision: { effect: 'allow' }, rule: allowed, verdicts, needs: [] }
    return this.#missing(principal, asked, verdicts, allows)
  }

  /** Nothing allows it. If scopes are all that is missing, the client can do something about it. */
  #missing(
    principal: Principal,
    target: PolicyTarget,
    verdicts: readonly Verdict[],
    allows: readonly Verdict[],
  ): Judgement {
    const close = allows
      .filter(({ failed }) => isOnlyScope(failed))
      .filter(({ missingScopes }) => this.#opens(principal, target, missingScopes))
      .toSorted((left, right) => left.missingScopes.length - right.missingScopes.length)
    const needs = allows.flatMap((verdict) => needOf(verdict, this.rules[verdict.index]))
    const [best] = close
    if (best === undefined) {
      const failed = allows.find((verdict) => isOnlyArguments(verdict.failed))
      const message = failed === undefined ? {} : { message: argumentsMessage(failed.failedArguments) }
      return { decision: { effect: 'deny', ...message }, rule: undefined, verdicts, needs }
    }
    const listed = close.some(({ index }) => this.rules[index]?.advertise === true)
    return {
      decision: { effect: 'deny', scopes: best.missingScopes, ...(listed && { listed: true }) },
      rule: undefined,
      verdicts,
      needs,
    }
  }

  /** Whether these scopes would really be enough; a rule may deny what another would then allow. */
  #opens(principal: Principal, target: PolicyTarget, scopes: readonly string[]): boolean {
    const stronger = { ...principal, scopes: [...principal.scopes, ...scopes] }
    return this.rules.every((rule, index) => {
      if (rule.effect === 'allow') return true
      return verdictOf(rule, index, stronger, target).applies !== 'yes'
    })
  }
}

interface Verdict extends PolicyRuleVerdict {
  readonly missingScopes: readonly string[]
}

interface Judgement {
  readonly decision: PolicyDecision
  /** The rule that settled it. */
  readonly rule: Verdict | undefined
  readonly verdicts: readonly Verdict[]
  readonly needs: readonly PolicyNeed[]
  /** The URI that was judged, if it is not as it was written. */
  readonly reading?: string
}

function verdictOf(rule: CheckedRule, index: number, principal: Principal, target: PolicyTarget): Verdict {
  const failed: PolicyCondition[] = []
  const about = isAbout(rule, target)
  if (about === 'no') failed.push('target')
  for (const [key, wanted] of rule.who) {
    const own = key === 'client' ? principal.clientId : principal[key]
    if (own === undefined || !wanted.has(own)) failed.push(key)
  }
  if (rule.roles.length > 0 && !rule.roles.some((role) => principal.roles.includes(role))) failed.push('role')
  const missingScopes = rule.scopes.filter((scope) => !principal.scopes.includes(scope))
  if (missingScopes.length > 0) failed.push('scope')
  const failedArguments = target.arguments === undefined ? [] : argumentsThatFail(rule, target.arguments)
  if (failedArguments.length > 0) failed.push('arguments')
  const open = about === 'depends' || (rule.argumentRule !== undefined && target.arguments === undefined)
  return {
    index,
    effect: rule.effect,
    ...(rule.name !== undefined && { name: rule.name }),
    applies: failed.length > 0 ? 'no' : open ? 'depends' : 'yes',
    failed,
    failedArguments,
    missingScopes,
  }
}

function argumentsThatFail(
  { effect, argumentRule }: CheckedRule,
  given: NonNullable<PolicyTarget['arguments']>,
) {
  if (argumentRule === undefined) return []
  return effect === 'allow' ? argumentRule.unsatisfied(given) : argumentRule.untriggered(given)
}

/** Whether a rule speaks of the target. `depends`: of some expansions of a template, or of something on the server. */
function isAbout(rule: CheckedRule, { kind, server, name }: PolicyTarget): 'yes' | 'no' | 'depends' {
  const patterns = rule.patterns.filter((pattern) => pattern.server.matches(server))
  if (patterns.length === 0) return 'no'
  if (patterns.some((pattern) => pattern.kind === 'server')) return 'yes'
  if (kind === 'server') return patterns.some((pattern) => pattern.kind !== 'ask') ? 'depends' : 'no'
  if (kind !== 'resourceTemplate')
    return patterns.some((pattern) => pattern.kind === kind && pattern.name.matches(name)) ? 'yes' : 'no'
  const template = Glob.ofTemplate(name)
  const resources = patterns.filter((pattern) => pattern.kind === 'resource')
  if (resources.some((pattern) => pattern.name.covers(template))) return 'yes'
  return resources.some((pattern) => pattern.name.overlaps(template)) ? 'depends' : 'no'
}

function isOnlyScope(failed: readonly PolicyCondition[]): boolean {
  return failed.length === 1 && failed[0] === 'scope'
}

function isOnlyArguments(failed: readonly PolicyCondition[]): boolean {
  return failed.length === 1 && failed[0] === 'arguments'
}

const severity = { allow: 0, depends: 1, deny: 2 } as const

function isWorse(one: Judgement, than: Judgement): boolean {
  const difference = severity[one.decision.effect] - severity[than.decision.effect]
  if (difference !== 0) return difference > 0
  // of two refusals, the one that no scope can lift
  return hasScopes(than.decision) && !hasScopes(one.decision)
}

function hasScopes(decision: PolicyDecision): boolean {
  return decision.effect === 'deny' && decision.scopes !== undefined
}

function refusal(rule: CheckedRule | undefined): PolicyDecision {
  if (rule?.argumentRule === undefined) return { effect: 'deny' }
  return { effect: 'deny', message: 'policy does not allow a call with these arguments' }
}

function argumentsMessage(paths: readonly string[]): string {
  return `policy does not allow a call with these arguments: ${paths.join(', ')}`
}

function needOf(verdict: Verdict, rule: CheckedRule | undefined): readonly PolicyNeed[] {
  const { failed, missingScopes, failedArguments } = verdict
  const curable =
    failed.length > 0 && failed.every((it) => it === 'role' || it === 'scope' || it === 'arguments')
  if (!curable || rule === undefined) return []
  return [
    {
      rule: referenceOf(verdict),
      ...(failed.includes('role') && { roles: rule.roles }),
      ...(missingScopes.length > 0 && { scopes: missingScopes }),
      ...(failedArguments.length > 0 && { arguments: failedArguments }),
    },
  ]
}

function referenceOf({ index, effect, name }: PolicyRuleReference): PolicyRuleReference {
  return { index, effect, ...(name !== undefined && { name }) }
}

function reasonFor(outcome: PolicyExplanation['outcome'], { rule, needs, reading }: Judgement): string {
  const read = reading === undefined ? '' : `, because a server may read it as ${reading}`
  if (rule === undefined) {
    const wanted = needs.map((need) => `rule ${labelOf(need.rule)} would, with ${wantedBy(need)}`)
    return ['no rule allows it', ...wanted].join('; ') + read
  }
  const verb = rule.effect === 'allow' ? 'allows' : 'denies'
  return `rule ${labelOf(rule)} ${verb} ${outcome === 'depends' ? 'some of it' : 'it'}${read}`
}

function labelOf({ index, name }: PolicyRuleReference): string {
  return name === undefined ? String(index) : `${index} (${name})`
}

function wantedBy({ roles, scopes, arguments: paths }: PolicyNeed): string {
  return [
    roles === undefined ? [] : [`the role ${roles.join(' or ')}`],
    scopes === undefined ? [] : [`the scope ${scopes.join(' ')}`],
    paths === undefined ? [] : [`other arguments at ${paths.join(', ')}`],
  ]
    .flat()
    .join(' and ')
}

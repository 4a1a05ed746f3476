import type { JsonObject } from './gateway-interceptor.ts'
import type { Principal } from './principal.ts'

/**
 * What is asked about:
 * - `server`: whether the caller may know that the server is there. Its instructions and capabilities are shown, and its lists
 *   are asked for, only then
 * - `tool`, `prompt`: by name
 * - `resource`: by URI, to be listed, read or subscribed to
 * - `resourceTemplate`: by URI template. Reading what a template expands to is a matter of `resource`
 * - `method`: a request that is none of those, by its method. Tasks belong here, and what no revision of MCP knows
 * - `ask`: what the server may ask the caller: `sampling`, `elicitation`, `roots`, or any other method by its full name
 */
export type PolicyTargetKind =
  | 'server'
  | 'tool'
  | 'prompt'
  | 'resource'
  | 'resourceTemplate'
  | 'method'
  | 'ask'

/** Something that a caller wants to see or use. Names are the server's own, not those of the aggregated endpoint. */
export interface PolicyTarget {
  readonly kind: PolicyTargetKind
  /** The server's name in the registry. */
  readonly server: string
  /** Name, URI, URI template or method; empty for a `server`. */
  readonly name: string
  /** The `arguments` of a call of a tool or prompt. Absent where there is no call (yet), as for a list. */
  readonly arguments?: JsonObject
}

/** The answer of a policy. */
export type PolicyDecision = (
  | { readonly effect: 'allow' }
  /**
   * It depends on what the target does not say: the arguments, or the variables of a template. It is shown in lists, and
   * asked about again with its arguments when it is called. Counts as `deny` where the target has arguments.
   */
  | { readonly effect: 'depends' }
  | {
      readonly effect: 'deny'
      /** These scopes are all that is missing: the client is told so, and can come back with a better token. */
      readonly scopes?: readonly string[]
      /** Shown in lists all the same, so that clients learn that there is something to ask a token for. */
      readonly listed?: true
      /** Shown to the client, but only if the target is in its lists: of everything else it learns nothing. */
      readonly message?: string
    }
) & {
  /** Not to be kept: the next call may be decided differently (time of day, a counter). */
  readonly volatile?: true
}

/**
 * Decides what callers may see and use. What is not allowed is left out of every list, and looks on a call as if it were
 * not there.
 *
 * `decide` depends on its arguments alone, unless the decision is `volatile`: decisions without `arguments` are kept for as
 * long as the gateway meets the same principal object. It should answer without a promise when it can, because it is on the
 * way of every call. A throw or a rejection refuses the call; a policy whose backend is dead throws a
 * `StorageUnavailableError`.
 */
export interface Policy {
  decide(principal: Principal, target: PolicyTarget): PolicyDecision | Promise<PolicyDecision>
}

/** A policy that can change. The listener is called after each change; the returned function ends the watch. */
export interface WatchedPolicy extends Policy {
  watch(listener: () => void): () => void
}

/** A policy that can give its reasons. `explain` agrees with `decide`. */
export interface ExplainingPolicy extends Policy {
  explain(principal: Principal, target: PolicyTarget): PolicyExplanation | Promise<PolicyExplanation>
}

/** Why something is shown or hidden, allowed or refused. */
export interface PolicyExplanation {
  /**
   * - `allowed`: shown in lists; a call goes through
   * - `depends`: shown in lists; a call may go through, its arguments decide
   * - `denied`: shown in lists; this call is refused
   * - `hidden`: not shown; a call is refused as if it were not there
   */
  readonly outcome: 'allowed' | 'depends' | 'denied' | 'hidden'
  /** The rule that settled it; absent if no rule speaks of the target, so that nothing allows it. */
  readonly rule?: PolicyRuleReference
  /** One sentence for people. */
  readonly reason: string
  /** What each rule says, in order. Empty if the policy is not made of rules. */
  readonly rules: readonly PolicyRuleVerdict[]
  /** What the caller would need: one of these is enough. Empty if it is allowed, and if nothing the caller could have would do. */
  readonly needs: readonly PolicyNeed[]
}

/** Where a rule stands. */
export interface PolicyRuleReference {
  /** Counted from 0, in the order in which the rules were given. */
  readonly index: number
  readonly effect: 'allow' | 'deny'
  /** The name that its author gave it. */
  readonly name?: string
}

/** A part of a rule that can fail to fit. */
export type PolicyCondition =
  | 'target'
  | 'tenant'
  | 'issuer'
  | 'subject'
  | 'client'
  | 'role'
  | 'scope'
  | 'arguments'

/** What one rule says about a principal and a target. */
export interface PolicyRuleVerdict extends PolicyRuleReference {
  /** `depends`: it applies to some arguments, or to some expansions of a template. */
  readonly applies: 'yes' | 'no' | 'depends'
  /** What does not fit, if it does not apply. */
  readonly failed: readonly PolicyCondition[]
  /** Paths of the arguments that do not fit. */
  readonly failedArguments: readonly string[]
}

/** A way to be allowed. */
export interface PolicyNeed {
  readonly rule: PolicyRuleReference
  /** One of these roles is missing. */
  readonly roles?: readonly string[]
  /** All of these scopes are missing. */
  readonly scopes?: readonly string[]
  /** These arguments would have to be others. */
  readonly arguments?: readonly string[]
}

import type { Logger, PolicyExplanation, PolicyTarget, Principal } from '@sallyport/core'
import { createMemoryRateLimiter } from '@sallyport/core/memory'
import type { GatewayOptions } from '../gateway-options.ts'
import type { Gates } from './check-call.ts'
import { ListFilter } from './list-filter.ts'
import { explainPolicy, policyOf } from './policy.ts'
import { PolicyGate } from './policy-gate.ts'
import { PolicyScreen } from './policy-screen.ts'
import { RateGate } from './rate-gate.ts'
import { ServerMessageScreen } from './server-message-screen.ts'

/** Policy and rate limits of one gateway, in the parts that its places of enforcement need. Without either there are none. */
export class Access {
  readonly gate: PolicyGate | undefined
  readonly gates: Gates | undefined
  readonly filter: ListFilter | undefined
  readonly serverMessages: ServerMessageScreen | undefined
  readonly #policy: GatewayOptions['policy']

  /** @param onChange called after the policy has changed */
  constructor(options: GatewayOptions, logger: Logger, now: () => number, onChange: () => void) {
    const { rateLimits = [], rateLimiter = createMemoryRateLimiter({ now }) } = options
    this.#policy = options.policy
    const gate =
      options.policy === undefined ? undefined : new PolicyGate(policyOf(options.policy), logger, onChange)
    const rates = rateLimits.length === 0 ? undefined : new RateGate(rateLimits, rateLimiter)
    this.gate = gate
    this.filter = gate === undefined ? undefined : new ListFilter(gate)
    this.serverMessages = gate === undefined ? undefined : new ServerMessageScreen(gate)
    const policy = gate === undefined ? undefined : { gate, screen: new PolicyScreen(gate) }
    this.gates = policy === undefined && rates === undefined ? undefined : { policy, rates }
  }

  explain(principal: Principal, target: PolicyTarget): PolicyExplanation | Promise<PolicyExplanation> {
    if (this.#policy !== undefined) return explainPolicy(this.#policy, principal, target)
    return { outcome: 'allowed', reason: 'the gateway has no policy', rules: [], needs: [] }
  }
}

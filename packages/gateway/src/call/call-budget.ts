import { GatewayError, type Principal, principalKey } from '@sallyport/core'
import type { Flow, FlowKeeper } from './flow.ts'

export interface CallBudgetLimits {
  /** Calls that one caller may have open. */
  readonly callsPerPrincipal: number
  /** Calls that all callers of one tenant may have open together. */
  readonly callsPerTenant: number
}

/**
 * How many calls each caller and each tenant may have open, so that the many of one leave room for the few of another.
 * Subscriptions do not count: streams have a quota of their own.
 */
export class CallBudget {
  readonly #limits: CallBudgetLimits
  readonly #callers = new Map<string, CallerCalls>()
  readonly #tenants = new Map<string, TenantCalls>()

  constructor(limits: CallBudgetLimits) {
    this.#limits = limits
  }

  /** Why the call cannot be taken now. One that can be counts until it is over. */
  admit(flow: Flow): GatewayError | undefined {
    if (flow.endless) return undefined
    const { principal } = flow.context
    const calls = this.#callers.get(principalKey(principal)) ?? this.#newCaller(principal)
    const { callsPerPrincipal, callsPerTenant } = this.#limits
    if (calls.open >= callsPerPrincipal) {
      return full('callsPerPrincipal', `you already have ${callsPerPrincipal} open calls`)
    }
    if (calls.tenant.open >= callsPerTenant) {
      return full('callsPerTenant', `your organization already has ${callsPerTenant} open calls`)
    }
    calls.open++
    calls.tenant.open++
    flow.keptBy(calls)
    return undefined
  }

  /** Forgets callers without calls. They are not forgotten at once: most come back. */
  sweep(): void {
    for (const [key, { open }] of this.#callers) if (open === 0) this.#callers.delete(key)
    for (const [tenant, { open }] of this.#tenants) if (open === 0) this.#tenants.delete(tenant)
  }

  #newCaller(principal: Principal): CallerCalls {
    const tenant = this.#tenants.get(principal.tenant) ?? { open: 0 }
    this.#tenants.set(principal.tenant, tenant)
    const calls = new CallerCalls(tenant)
    this.#callers.set(principalKey(principal), calls)
    return calls
  }
}

interface TenantCalls {
  open: number
}

class CallerCalls implements FlowKeeper {
  readonly tenant: TenantCalls
  open = 0

  constructor(tenant: TenantCalls) {
    this.tenant = tenant
  }

  settled(): void {
    this.open--
    this.tenant.open--
  }
}

function full(limit: keyof CallBudgetLimits, message: string): GatewayError {
  return new GatewayError('ERR_LIMIT_EXCEEDED', message, { data: { limit, retrySafe: true } })
}

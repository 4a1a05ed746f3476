import { GatewayError, type Principal, principalKey } from '@sallyport/core'
import { BlamelessError } from './blameless-error.ts'

export interface ProcessLimits {
  readonly processesPerServer: number
  readonly processesPerPrincipal: number
  readonly processesPerTenant: number
}

/** A child process that one caller has to itself, alone or for all its sessions. */
export interface OwnedProcess {
  /** Calls are open. */
  readonly busy: boolean
  /** Milliseconds since the epoch. */
  readonly usedAt: number
  /** Ends it. Whoever used it starts another one when it is needed. */
  close(): unknown
}

interface Entry {
  readonly process: OwnedProcess
  readonly server: string
  readonly tenant: string
  readonly owner: string
}

/**
 * How many child processes callers may have to themselves. At a limit, a process that does nothing has to go: of the caller
 * itself or, where callers share a limit, of one who has more. Only if all of them work the call is refused.
 */
export class ProcessBudget {
  readonly #limits: ProcessLimits
  readonly #entries = new Map<OwnedProcess, Entry>()

  constructor(limits: ProcessLimits) {
    this.#limits = limits
  }

  /** Makes room for one more, or throws what the caller is told. */
  admit(server: string, principal: Principal): void {
    const { processesPerPrincipal, processesPerTenant, processesPerServer } = this.#limits
    const own = principalKey(principal)
    if (!this.#makeRoom(processesPerPrincipal, own, ({ owner }) => owner === own)) {
      throw full('processesPerPrincipal', `all of your ${processesPerPrincipal} processes are at work`)
    }
    if (!this.#makeRoom(processesPerTenant, own, ({ tenant }) => tenant === principal.tenant)) {
      throw full('processesPerTenant', `your organization already has ${processesPerTenant} processes`)
    }
    if (!this.#makeRoom(processesPerServer, own, (entry) => entry.server === server)) {
      const message = `already runs ${processesPerServer} processes`
      throw new BlamelessError('ERR_UPSTREAM_UNAVAILABLE', server, message, { retrySafe: true })
    }
  }

  add(process: OwnedProcess, server: string, principal: Principal): void {
    const { tenant } = principal
    this.#entries.set(process, { process, server, tenant, owner: principalKey(principal) })
  }

  remove(process: OwnedProcess): void {
    this.#entries.delete(process)
  }

  #makeRoom(limit: number, own: string, inScope: (entry: Entry) => boolean): boolean {
    const entries = [...this.#entries.values()].filter(inScope)
    if (entries.length < limit) return true
    const victim = leastUsed(entries, own) ?? leastUsed(entries, richest(entries, own))
    if (victim === undefined) return false
    this.#entries.delete(victim)
    victim.close()
    return true
  }
}

/** The caller who has the most processes, among those who have more than this one and can give one up. */
function richest(entries: readonly Entry[], own: string): string | undefined {
  const counts = new Map<string, number>()
  for (const { owner } of entries) counts.set(owner, (counts.get(owner) ?? 0) + 1)
  const givers = new Set(entries.flatMap(({ owner, process }) => (process.busy ? [] : [owner])))
  let most = counts.get(own) ?? 0
  let found: string | undefined
  for (const owner of givers) {
    const count = counts.get(owner) ?? 0
    if (count <= most) continue
    most = count
    found = owner
  }
  return found
}

function leastUsed(entries: readonly Entry[], wanted: string | undefined): OwnedProcess | undefined {
  let found: OwnedProcess | undefined
  for (const { process, owner } of entries) {
    if (process.busy || owner !== wanted) continue
    if (found === undefined || process.usedAt < found.usedAt) found = process
  }
  return found
}

function full(limit: keyof ProcessLimits, message: string): GatewayError {
  return new GatewayError('ERR_LIMIT_EXCEEDED', message, { data: { limit, retrySafe: true } })
}

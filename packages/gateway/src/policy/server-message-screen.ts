import type { Principal } from '@sallyport/core'
import { isRecord, parseJson } from '../wire/client-message.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import type { PolicyGate } from './policy-gate.ts'
import { askName } from './policy-screen.ts'

/** Whether what a server says in a legacy session may reach the client. */
export class ServerMessageScreen {
  readonly #gate: PolicyGate

  constructor(gate: PolicyGate) {
    this.#gate = gate
  }

  /** At once, if policy needs no time. */
  allows(
    principal: Principal,
    server: string,
    method: string,
    message: Buffer,
    scan: MessageScan,
  ): boolean | Promise<boolean> {
    if (scan.idStart >= 0) return this.#allowed(principal, server, 'ask', askName(method))
    if (method !== 'notifications/resources/updated') return this.#allowed(principal, server, 'server', '')
    const params =
      scan.paramsStart < 0 ? undefined : parseJson(message.subarray(scan.paramsStart, scan.paramsEnd))
    const uri = isRecord(params) ? params['uri'] : undefined
    return typeof uri === 'string' && this.#allowed(principal, server, 'resource', uri)
  }

  #allowed(
    principal: Principal,
    server: string,
    kind: 'ask' | 'server' | 'resource',
    name: string,
  ): boolean | Promise<boolean> {
    const verdict = this.#gate.decide(principal, server, kind, name)
    if (!(verdict instanceof Promise)) return verdict.effect === 'allow'
    return verdict.then(({ effect }) => effect === 'allow')
  }
}

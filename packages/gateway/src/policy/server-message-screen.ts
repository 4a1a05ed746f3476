import type { Principal } from '@sallyport/core'
import { isRecord, parseJson } from '../wire/client-message.ts'
import type { MessageScan } from '../wire/scan-message.ts'
import type { PolicyGate } from './policy-gate.ts'
import { askName } from './policy-screen.ts'

const UPDATED = 'notifications/resources/updated'

/** Whether what a server says unasked may reach the client. */
export class ServerMessageScreen {
  readonly #gate: PolicyGate

  constructor(gate: PolicyGate) {
    this.#gate = gate
  }

  /** In a legacy session. At once, if policy needs no time. */
  allows(
    principal: Principal,
    server: string,
    method: string,
    message: Buffer,
    scan: MessageScan,
  ): boolean | Promise<boolean> {
    if (scan.idStart >= 0) return this.#allowed(principal, server, 'ask', askName(method))
    if (method !== UPDATED) return this.#allowed(principal, server, 'server', '')
    return this.#mayHearOf(principal, server, message, scan)
  }

  /** With a call or a subscription of the modern era: whose server may be seen is decided there, what it tells of is not. */
  allowsNotice(
    principal: Principal,
    server: string,
    message: Buffer,
    scan: MessageScan,
  ): boolean | Promise<boolean> {
    const method = parseJson(message.subarray(scan.methodStart, scan.methodEnd))
    return method !== UPDATED || this.#mayHearOf(principal, server, message, scan)
  }

  /** A server may tell of a resource below the one that was subscribed to. */
  #mayHearOf(
    principal: Principal,
    server: string,
    message: Buffer,
    scan: MessageScan,
  ): boolean | Promise<boolean> {
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

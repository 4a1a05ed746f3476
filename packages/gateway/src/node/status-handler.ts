import type { IncomingMessage, ServerResponse } from 'node:http'
import { isChallenge } from '@sallyport/core'
import { loopbackOnly } from '../auth/loopback-only.ts'
import { HostCheck } from '../front/host-check.ts'
import { type Gateway, partsOf } from '../gateway.ts'
import { NodeExchange } from './node-handler.ts'

/**
 * Answers every GET with `gateway.status()` as JSON, to callers on this machine and to nobody else: not through a reverse
 * proxy, and not to web pages. Whoever is to see it from elsewhere gets it from the application, behind the application's own
 * authentication.
 */
export function statusHandler(
  gateway: Gateway,
): (request: IncomingMessage, response: ServerResponse) => void {
  const local = loopbackOnly()
  const { slowClients } = partsOf(gateway).core
  const hostCheck = new HostCheck({ publicUrl: undefined, allowedHosts: [], allowedOrigins: [] })
  return (request, response) => {
    const exchange = new NodeExchange(request, response, slowClients)
    const { method, headers, remoteAddress, path: url } = exchange
    const caller = local.authenticate({ method, url, headers, remoteAddress })
    const isStranger = caller instanceof Promise || isChallenge(caller)
    if (isStranger || hostCheck.refusal(exchange) !== undefined) exchange.respond(403, {})
    else if (method !== 'GET') exchange.respond(405, { allow: 'GET' })
    else {
      const json = { 'content-type': 'application/json', 'cache-control': 'no-store' }
      exchange.respond(200, json, JSON.stringify(gateway.status()))
    }
  }
}

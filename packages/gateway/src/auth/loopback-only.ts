import type { Authenticator, Challenge, Principal } from '@sallyport/core'

/**
 * No authentication, for this machine only: whoever connects over a loopback address is the principal `local` of the tenant
 * `local`; everybody else is refused. A request that came through a reverse proxy is refused as well, because through a proxy
 * on this machine the whole world has a loopback address.
 *
 * Web pages in a local browser are kept out by the gateway's checks of `Origin` and `Host`, not here. After `bearerTokens` in a
 * `firstOf`, it lets local callers in whose token was refused.
 */
export function loopbackOnly(): Authenticator {
  return {
    authenticate({ remoteAddress, headers }) {
      if (remoteAddress === undefined || !isLoopback(remoteAddress)) return stranger
      return proxyHeaders.some((name) => headers[name] !== undefined) ? proxied : local
    },
  }
}

const local: Principal = Object.freeze({
  tenant: 'local',
  subject: 'local',
  roles: Object.freeze([]),
  scopes: Object.freeze([]),
})

const stranger: Challenge = {
  status: 403,
  description: 'Without authentication, only callers on the machine of the gateway are let in',
}
const proxied: Challenge = {
  status: 403,
  description: 'Without authentication, calls through a proxy are not let in',
}

const proxyHeaders = [
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'x-client-ip',
  'true-client-ip',
  'cf-connecting-ip',
  'via',
] as const

function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127(\.\d{1,3}){3}$/i.test(address)
}

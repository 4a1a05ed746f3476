import type { Authenticator } from '@sallyport/core'

/** Believes `Bearer <subject> role:<role> scope:<scope> tenant:<tenant>`, with as many roles and scopes as there are. */
export const claimed: Authenticator = {
  metadata: { authorizationServers: ['https://idp.example.com'] },
  authenticate({ headers }) {
    const [, subject, rest] = /^Bearer (\S+)(.*)$/.exec(String(headers['authorization'])) ?? []
    if (subject === undefined || rest === undefined) return { status: 401 }
    const claims = rest.split(' ').map((claim) => claim.split(/:(.*)/))
    const valuesOf = (key: string) => claims.flatMap(([name, value = '']) => (name === key ? [value] : []))
    return {
      tenant: valuesOf('tenant')[0] ?? 'acme',
      subject,
      roles: valuesOf('role'),
      scopes: valuesOf('scope'),
    }
  },
}

export function as(claims: string): { readonly headers: Readonly<Record<string, string>> } {
  return { headers: { authorization: `Bearer ${claims}` } }
}

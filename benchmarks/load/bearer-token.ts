import { type JWK, SignJWT, importJWK } from 'jose'

/** How the generator makes a bearer token for each connection. */
export interface TokenSigning {
  key: JWK
  issuer: string
  audience: string[]
}

/** The role that every token carries, for the policy of the gateway under test. */
export const callerRole = 'caller'

export async function signToken({ key, issuer, audience }: TokenSigning, subject: string): Promise<string> {
  return new SignJWT({ scope: 'mcp', client_id: 'benchmark', roles: [callerRole] })
    .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', ...(key.kid !== undefined && { kid: key.kid }) })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject(subject)
    .setIssuedAt()
    .setExpirationTime('1h')
    .setJti(`${subject}-${Date.now()}`)
    .sign(await importJWK(key, 'RS256'))
}

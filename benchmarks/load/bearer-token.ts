import { type JWK, SignJWT, importJWK } from 'jose'

/** How the generator makes a bearer token for each connection. */
export interface TokenSigning {
  key: JWK
  issuer: string
  audience: string[]
}

/** The role that every token carries, for the policy of the gateway under test. */
export const callerRole = 'caller'

const signed = new Map<string, Promise<string>>()

/** The same token again for the same subject, as a client keeps it: each new one has to be verified and remembered. */
export function signToken(signing: TokenSigning, subject: string): Promise<string> {
  const name = JSON.stringify([signing.key.n, signing.audience, subject])
  const known = signed.get(name) ?? sign(signing, subject)
  signed.set(name, known)
  return known
}

async function sign({ key, issuer, audience }: TokenSigning, subject: string): Promise<string> {
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

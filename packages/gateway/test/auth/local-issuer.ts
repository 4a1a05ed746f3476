import type { webcrypto } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose'

/** A key pair whose public half the issuer publishes while it is in its list. */
export interface SigningKey {
  readonly kid: string
  readonly alg: string
  readonly privateKey: webcrypto.CryptoKey
  readonly publicJwk: JWK
}

export interface LocalIssuer {
  readonly issuer: string
  /** What is published; change it to rotate. */
  published: JWK[]
  /** Answers instead of the usual ones, by path; a function decides on each request. */
  readonly answers: Map<string, { status?: number; body: string }>
  /** Paths in the order in which they were asked for. */
  readonly requests: string[]
  sign(key: SigningKey, claims?: JWTPayload, header?: Record<string, unknown>): Promise<string>
  close(): Promise<void>
}

export async function createSigningKey(kid: string, alg = 'ES256'): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  return { kid, alg, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } }
}

/** A real authorization server's metadata and key set on loopback, as far as a resource server asks for them. */
export async function startLocalIssuer(
  options: { path?: string; keys?: readonly SigningKey[] } = {},
): Promise<LocalIssuer> {
  const requests: string[] = []
  const answers: LocalIssuer['answers'] = new Map()
  const server = createServer((request, response) => {
    const path = pathOf(request)
    requests.push(path)
    const special = answers.get(path)
    if (special !== undefined) return void response.writeHead(special.status ?? 200).end(special.body)
    const document = documents[path]
    response.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(document?.() ?? {}))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${portOf(server)}`
  const issuer = `${origin}${options.path ?? ''}`
  const documents: Record<string, () => unknown> = {
    [`/.well-known/oauth-authorization-server${options.path ?? ''}`]: () => ({
      issuer,
      jwks_uri: `${origin}/jwks`,
    }),
    '/jwks': () => ({ keys: local.published }),
  }
  const local: LocalIssuer = {
    issuer,
    published: (options.keys ?? []).map((key) => key.publicJwk),
    answers,
    requests,
    async sign(key, claims = {}, header = {}) {
      const all = { iss: issuer, sub: 'ada', ...claims }
      const jwt = new SignJWT(all).setProtectedHeader({
        alg: key.alg,
        kid: key.kid,
        typ: 'at+jwt',
        ...header,
      })
      return jwt.sign(key.privateKey)
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return local
}

function pathOf(request: IncomingMessage): string {
  return new URL(request.url ?? '/', 'http://localhost').pathname
}

export function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server does not listen on a port')
  return address.port
}

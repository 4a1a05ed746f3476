import assert from 'node:assert/strict'
import {
  type AuthenticationInput,
  type Authenticator,
  type Challenge,
  isChallenge,
  type Principal,
  principalKey,
} from '@sallyport/core'
import { type ContractCase, casesFor } from './contract-case.ts'

export interface AuthenticatorSubject {
  readonly authenticator: Authenticator
  /** Heads of requests that are let in. */
  readonly accepted: readonly AuthenticationInput[]
  /** Heads of requests that are refused, each with the texts that no answer may repeat. */
  readonly refused: readonly { readonly input: AuthenticationInput; readonly secrets: readonly string[] }[]
  close?(): void | Promise<void>
}

/** The contract of `Authenticator`. */
export function authenticatorContract(options: {
  open(): AuthenticatorSubject | Promise<AuthenticatorSubject>
}): ContractCase[] {
  return casesFor(() => options.open(), checks)
}

const url = 'https://mcp.example.com/mcp'

/** From an address of the documentation range, so that nobody is let in for being near. */
function fromFarAway(headers: AuthenticationInput['headers']): AuthenticationInput {
  return { method: 'POST', url, headers, remoteAddress: '203.0.113.7' }
}

const hostileHeaders: readonly AuthenticationInput['headers'][] = [
  { authorization: '' },
  { authorization: 'Bearer' },
  { authorization: 'Bearer ' },
  { authorization: 'Bearer null' },
  { authorization: 'Bearer undefined' },
  { authorization: 'Bearer {}' },
  { authorization: 'Bearer ..' },
  { authorization: 'Bearer e30.e30.e30' },
  { authorization: 'Bearer \0' },
  { authorization: `Bearer ${'a'.repeat(200_000)}` },
  { authorization: `Bearer ${'.'.repeat(200_000)}` },
  { authorization: `Bearer${' '.repeat(200_000)}` },
  { authorization: 'Basic YWRtaW46YWRtaW4=' },
  { authorization: 'Negotiate' },
  { authorization: [] },
  { authorization: ['Bearer a', 'Bearer b'] },
  { 'x-api-key': '' },
  { 'x-api-key': '__proto__' },
  { 'x-api-key': 'x'.repeat(200_000) },
  { cookie: 'session=admin', 'x-user': 'admin', 'x-forwarded-user': 'admin', 'x-forwarded-for': '127.0.0.1' },
]

const checks: Record<string, (subject: AuthenticatorSubject) => Promise<void>> = {
  async 'who is let in has a tenant and a subject'({ authenticator, accepted }) {
    assert.ok(accepted.length > 0, 'the suite needs a request that is let in')
    for (const input of accepted) expectPrincipal(await authenticator.authenticate(input))
  },

  async 'the same proof is the same caller, also many times at once'({ authenticator, accepted }) {
    for (const input of accepted) {
      const answers = await Promise.all(
        Array.from({ length: 20 }, async () => authenticator.authenticate(input)),
      )
      const keys = [...answers, await authenticator.authenticate(input)].map((answer) =>
        principalKey(expectPrincipal(answer)),
      )
      assert.equal(new Set(keys).size, 1)
    }
  },

  async 'a refusal is a challenge that says what is missing, and stays one'({ authenticator, refused }) {
    for (const { input } of refused) {
      const first = expectChallenge(await authenticator.authenticate(input))
      assert.deepEqual(await authenticator.authenticate(input), first)
    }
  },

  async 'a refusal repeats nothing of the credential'({ authenticator, refused }) {
    for (const { input, secrets } of refused) {
      const answer = JSON.stringify(await authenticator.authenticate(input))
      for (const secret of secrets) assert.ok(!answer.includes(secret), 'a secret is in the challenge')
    }
  },

  async 'no credential is no mistake'({ authenticator }) {
    const answer = expectChallenge(await authenticator.authenticate(fromFarAway({})))
    // RFC 6750 section 3.1: no error code where no credential was sent.
    assert.equal(answer.error, undefined)
  },

  async 'hostile headers neither let anybody in nor raise anything'({ authenticator }) {
    for (const headers of hostileHeaders)
      expectChallenge(await authenticator.authenticate(fromFarAway(headers)))
  },

  async 'a request is not changed'({ authenticator, accepted, refused }) {
    for (const input of [...accepted, ...refused.map((one) => one.input)]) {
      await authenticator.authenticate(
        Object.freeze({ ...input, headers: Object.freeze({ ...input.headers }) }),
      )
    }
  },

  async 'metadata names authorization servers by URL'({ authenticator }) {
    const { metadata } = authenticator
    if (metadata === undefined) return
    assert.ok(metadata.authorizationServers.length > 0)
    for (const server of metadata.authorizationServers) assert.ok(URL.canParse(server))
    // MCP: refresh tokens are not a requirement of a resource.
    assert.ok(!(metadata.scopesSupported ?? []).includes('offline_access'))
  },
}

function expectPrincipal(answer: Principal | Challenge): Principal {
  assert.ok(!isChallenge(answer), 'a request that should be let in was refused')
  assert.ok(typeof answer.tenant === 'string' && answer.tenant !== '', 'the tenant is empty')
  assert.ok(typeof answer.subject === 'string' && answer.subject !== '', 'the subject is empty')
  for (const list of [answer.roles, answer.scopes])
    assert.ok(Array.isArray(list) && list.every((one) => typeof one === 'string'))
  if (answer.expiresAt !== undefined) assert.ok(Number.isFinite(answer.expiresAt))
  return answer
}

function expectChallenge(answer: Principal | Challenge): Challenge {
  assert.ok(isChallenge(answer), 'a request that should be refused was let in')
  assert.ok(answer.status === 401 || answer.status === 403)
  if (answer.error === 'insufficient_scope') {
    assert.equal(answer.status, 403)
    assert.ok((answer.scopes ?? []).length > 0, 'the scopes that would be enough are missing')
  }
  if (answer.error === 'invalid_token') assert.equal(answer.status, 401)
  // RFC 6750 section 3: these characters only, because the text goes into a header between quotes.
  assert.match(answer.description ?? 'none', /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/)
  for (const scope of answer.scopes ?? []) assert.match(scope, /^[\x21\x23-\x5b\x5d-\x7e]+$/)
  return answer
}

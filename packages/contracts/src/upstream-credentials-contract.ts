import assert from 'node:assert/strict'
import type {
  ConsentRequired,
  Credential,
  NamedServer,
  Principal,
  RequestContext,
  UpstreamChallenge,
  UpstreamCredentials,
} from '@sallyport/core'
import { type ContractCase, casesFor } from './contract-case.ts'

export interface UpstreamCredentialsSubject {
  readonly credentials: UpstreamCredentials
  /** A caller, and a server for which there is a credential for this caller. */
  readonly granted: { readonly principal: Principal; readonly server: NamedServer }
  /** A server that needs no credential, if the adapter can tell. */
  readonly open?: NamedServer
  /** True where all callers share one credential by intention, such as a key in the configuration. */
  readonly shared?: boolean
  close?(): void | Promise<void>
}

/**
 * The contract of `UpstreamCredentials`.
 * @param options.openDead an adapter whose backend is dead, with what would be granted, if it can be had
 */
export function upstreamCredentialsContract(options: {
  open(): UpstreamCredentialsSubject | Promise<UpstreamCredentialsSubject>
  openDead?(): UpstreamCredentialsSubject | Promise<UpstreamCredentialsSubject>
}): ContractCase[] {
  const { openDead } = options
  const cases = casesFor(() => options.open(), checks)
  if (openDead === undefined) return cases
  return [
    ...cases,
    ...casesFor(() => openDead(), {
      async 'a dead backend is an error, not "none needed"'({ credentials, granted }) {
        await assert.rejects(async () => credentials.get(contextOf(granted.principal), granted.server))
      },
    }),
  ]
}

const challenge: UpstreamChallenge = { status: 401, wwwAuthenticate: 'Bearer error="invalid_token"' }

function contextOf(principal: Principal): RequestContext {
  return { principal, era: 'modern', protocolVersion: '2026-07-28' }
}

const checks: Record<string, (subject: UpstreamCredentialsSubject) => Promise<void>> = {
  async 'a credential is headers that can be sent'({ credentials, granted }) {
    const answer = await credentials.get(contextOf(granted.principal), granted.server)
    assert.ok(answer !== undefined && 'headers' in answer, 'the suite needs a credential')
    expectCredential(answer)
  },

  async 'the same caller gets it again, also many times at once'({ credentials, granted }) {
    const context = contextOf(granted.principal)
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => credentials.get(context, granted.server)),
    )
    for (const answer of answers) assert.ok(answer !== undefined && 'headers' in answer)
  },

  async 'after a challenge the answer is still an answer'({ credentials, granted }) {
    for (const wwwAuthenticate of [challenge.wwwAuthenticate, undefined, '', ',,,', 'Bearer realm="']) {
      const context = contextOf(granted.principal)
      expectAnswer(await credentials.get(context, granted.server, { ...challenge, wwwAuthenticate }))
    }
  },

  async 'nobody gets the credential of somebody else'({ credentials, granted, shared }) {
    if (shared === true) return
    const { principal, server } = granted
    const own = await credentials.get(contextOf(principal), server)
    const others: Principal[] = [
      { ...principal, tenant: `${principal.tenant}-2` },
      { ...principal, subject: `${principal.subject}-2` },
      { ...principal, issuer: `${principal.issuer ?? 'https://issuer.example'}/2` },
    ]
    for (const other of others) {
      const answer = await credentials.get(contextOf(other), server)
      expectAnswer(answer)
      if (answer !== undefined && 'headers' in answer) assert.notDeepEqual(answer, own)
    }
  },

  async 'a server that needs none gets none'({ credentials, granted, open }) {
    if (open === undefined) return
    assert.equal(await credentials.get(contextOf(granted.principal), open), undefined)
  },
}

function expectAnswer(answer: Credential | ConsentRequired | undefined): void {
  if (answer === undefined) return
  if ('headers' in answer) return expectCredential(answer)
  assert.match(answer.consentUrl, /^https?:\/\//)
  assert.ok(URL.canParse(answer.consentUrl))
}

function expectCredential({ headers }: Credential): void {
  assert.ok(Object.keys(headers).length > 0, 'a credential without headers proves nothing')
  for (const [name, value] of Object.entries(headers)) {
    assert.match(name, /^[!#$%&'*+.^_`|~\w-]+$/)
    assert.match(value, /^[\t\x20-\x7e\x80-\xff]+$/)
    assert.ok(!framingHeaders.has(name.toLowerCase()), `the header ${name} is the gateway's business`)
  }
}

const framingHeaders = new Set([
  'connection',
  'content-length',
  'content-type',
  'host',
  'transfer-encoding',
  'upgrade',
])

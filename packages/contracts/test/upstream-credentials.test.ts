import { type Principal, principalKey, type UpstreamCredentials } from '@sallyport/core'
import { expect, test } from 'vitest'
import { failing, upstreamCredentialsContract } from '../src/index.ts'

const principal: Principal = { tenant: 'acme', subject: 'ada', roles: [], scopes: [] }
const server = { name: 'tickets', definition: { url: 'https://tickets.example/mcp' } }
const granted = { principal, server }

/** One token for one caller; everybody else has to agree first. */
const credentials: UpstreamCredentials = {
  get(context, { name }) {
    if (name !== 'tickets') return undefined
    if (principalKey(context.principal) !== principalKey(principal))
      return { consentUrl: 'https://idp.example/consent' }
    return { headers: { authorization: 'Bearer token-of-ada' } }
  },
}
const open = () => ({ credentials, granted, open: { name: 'public', definition: server.definition } })
const openDead = () => ({ credentials: failing(credentials), granted })
test.each(upstreamCredentialsContract({ open, openDead }))('$name', async ({ run }) =>
  expect(run()).resolves.toBeUndefined(),
)

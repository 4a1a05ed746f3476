import { expect, test } from 'vitest'
import { loopbackOnly } from '../../src/auth/loopback-only.ts'

const authenticator = loopbackOnly()
function call(remoteAddress: string | undefined, headers: Record<string, string | string[]> = {}) {
  const peer = remoteAddress === undefined ? {} : { remoteAddress }
  return authenticator.authenticate({ method: 'POST', url: 'http://127.0.0.1:3000', headers, ...peer })
}

test.each(['127.0.0.1', '127.255.3.4', '::1', '::ffff:127.0.0.1', '::FFFF:127.0.0.2'])(
  '%s is let in',
  (address) => {
    expect(call(address)).toEqual({ tenant: 'local', subject: 'local', roles: [], scopes: [] })
  },
)

test.each([
  undefined,
  '',
  '10.0.0.1',
  '128.0.0.1',
  '1127.0.0.1',
  '0.0.0.0',
  '::',
  '::2',
  'fe80::1',
  '::ffff:10.0.0.1',
  '127.0.0.1.evil.example',
  'localhost',
  '127.0.0.1\n',
  '2001:db8::127.0.0.1',
])('%j is refused', (address) => {
  expect(call(address)).toMatchObject({ status: 403 })
})

test.each(['forwarded', 'x-forwarded-for', 'x-real-ip', 'via', 'cf-connecting-ip'])(
  'a call with %s is refused',
  (name) => {
    expect(call('127.0.0.1', { [name]: '127.0.0.1' })).toMatchObject({ status: 403 })
    expect(call('127.0.0.1', { [name]: '' })).toMatchObject({ status: 403 })
    expect(call('127.0.0.1', { [name]: [] })).toMatchObject({ status: 403 })
  },
)

import { type ErrorCode, GatewayError, StorageUnavailableError, UpstreamError } from '@sallyport/core'
import { describe, expect, test } from 'vitest'
import { errorOnWire } from '../../src/wire/error-on-wire.ts'

/** Status and code of every error that the project has: a new one has to be decided on here too. */
const expected = {
  ERR_CONFIG: [500, -32603],
  ERR_PROTOCOL: [400, -32600],
  ERR_UNAUTHENTICATED: [401, -32600],
  ERR_FORBIDDEN: [200, -32600],
  ERR_AUDIT_UNAVAILABLE: [503, -32603],
  ERR_CONSENT_REQUIRED: [200, -32600],
  ERR_LIMIT_EXCEEDED: [429, -32600],
  ERR_SHUTTING_DOWN: [503, -32603],
  ERR_ANSWER_LOST: [400, -32600],
  ERR_STORAGE_UNAVAILABLE: [503, -32603],
  ERR_UPSTREAM_ERA: [200, -32603],
  ERR_UPSTREAM_PROTOCOL: [200, -32603],
  ERR_UPSTREAM_TIMEOUT: [200, -32603],
  ERR_UPSTREAM_UNAVAILABLE: [200, -32603],
} satisfies Record<ErrorCode, readonly [number, number]>

describe('errors of the gateway', () => {
  const codes = [
    'ERR_PROTOCOL',
    'ERR_UNAUTHENTICATED',
    'ERR_FORBIDDEN',
    'ERR_AUDIT_UNAVAILABLE',
    'ERR_CONSENT_REQUIRED',
    'ERR_LIMIT_EXCEEDED',
    'ERR_SHUTTING_DOWN',
    'ERR_ANSWER_LOST',
  ] as const
  test.each(codes)('%s', (code) => {
    const [status, number] = expected[code]
    const error = new GatewayError(code, 'text', { data: { limit: 'x' }, cause: new Error('secret') })
    expect(errorOnWire(error)).toEqual({
      status,
      code: number,
      message: 'text',
      data: { code, limit: 'x' },
    })
    expect(errorOnWire(new GatewayError(code, 'text')).data).toEqual({ code })
  })
})

describe('errors of servers', () => {
  const codes = [
    'ERR_UPSTREAM_ERA',
    'ERR_UPSTREAM_PROTOCOL',
    'ERR_UPSTREAM_TIMEOUT',
    'ERR_UPSTREAM_UNAVAILABLE',
  ] as const
  test.each(codes)('%s', (code) => {
    const [status, number] = expected[code]
    expect(errorOnWire(new UpstreamError(code, 'files', 'text', { retrySafe: true }))).toEqual({
      status,
      code: number,
      message: 'server "files": text',
      data: { code, retrySafe: true },
    })
  })
})

test('a store that is away', () => {
  const { status, code, data } = errorOnWire(new StorageUnavailableError('away'))
  expect([status, code]).toEqual(expected.ERR_STORAGE_UNAVAILABLE)
  expect(data).toEqual({ code: 'ERR_STORAGE_UNAVAILABLE' })
})

test.each([
  [new Error('password hunter2')],
  ['hunter2'],
  [undefined],
  [{ code: 'ERR_CONFIG', message: 'hunter2' }],
])('a foreign error stays inside', (error) => {
  expect(errorOnWire(error)).toEqual({ status: 500, code: -32603, message: 'internal error', data: {} })
})

test('none of our errors uses a code that the specification reserves for itself', () => {
  for (const [, code] of Object.values(expected)) expect(code > -32020 || code < -32099).toBe(true)
})

import { expect, test } from 'vitest'
import { isChallenge, isStdioServer, type Principal, principalKey, silentLogger } from '../src/index.ts'

const ada: Principal = { tenant: 'acme', subject: 'ada', roles: [], scopes: [] }

test('the key of a principal is the same for the same caller only', () => {
  const same = [
    ada,
    { ...ada, roles: ['r'] },
    { ...ada, scopes: ['s'], expiresAt: 1 },
    { ...ada, clientId: 'c' },
  ]
  expect(new Set(same.map(principalKey)).size).toBe(1)
  const different: Principal[] = [
    ada,
    { ...ada, tenant: 'acme2' },
    { ...ada, subject: 'bob' },
    { ...ada, issuer: 'https://i.example' },
    // What a joined text without quoting would mix up.
    { ...ada, tenant: 'acme","', subject: 'x' },
    { ...ada, tenant: 'acme', subject: '","x' },
    { ...ada, tenant: 'acme:ada', subject: '' },
    { ...ada, tenant: 'acme', subject: ':ada' },
    { ...ada, tenant: 'acm', subject: 'eada' },
  ]
  expect(new Set(different.map(principalKey)).size).toBe(different.length)
})

test('answers and definitions are told apart', () => {
  expect(isChallenge({ status: 401 })).toBe(true)
  expect(isChallenge(ada)).toBe(false)
  expect(isStdioServer({ command: 'x' })).toBe(true)
  expect(isStdioServer({ url: 'https://a.example' })).toBe(false)
})

test('the silent logger says nothing', () => {
  for (const level of ['debug', 'info', 'warn', 'error'] as const)
    expect(silentLogger[level]('x', { a: 1 })).toBeUndefined()
})

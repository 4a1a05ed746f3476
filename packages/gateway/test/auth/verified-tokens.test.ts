import { expect, test } from 'vitest'
import { createVerifiedTokens } from '../../src/auth/verified-tokens.ts'

test('is bounded, and keeps what is used', () => {
  const tokens = createVerifiedTokens<number>(3)
  for (const [value, credential] of ['a', 'b', 'c'].entries()) tokens.set(credential, value)
  expect(tokens.get('a')).toBe(0)
  tokens.set('d', 3)
  expect(['a', 'b', 'c', 'd'].map((credential) => tokens.get(credential))).toEqual([0, undefined, 2, 3])
})

test('makes room when everything is in use', () => {
  const tokens = createVerifiedTokens<number>(2)
  for (let n = 0; n < 100; n++) {
    tokens.set(`t${n}`, n)
    expect(tokens.get(`t${n}`)).toBe(n)
    expect(
      Array.from({ length: n + 1 }, (_, i) => tokens.get(`t${i}`)).filter((v) => v !== undefined).length,
    ).toBe(Math.min(n + 1, 2))
  }
})

test('a value can be replaced and dropped', () => {
  const tokens = createVerifiedTokens<number>(1)
  tokens.set('a', 1)
  tokens.set('a', 2)
  expect(tokens.get('a')).toBe(2)
  tokens.delete('a')
  expect(tokens.get('a')).toBeUndefined()
})

test('credentials with the same end are not mistaken for each other', () => {
  const tokens = createVerifiedTokens<number>(10)
  const end = 'z'.repeat(100)
  tokens.set(`a${end}`, 1)
  expect(tokens.get(`b${end}`)).toBeUndefined()
  tokens.set(`b${end}`, 2)
  expect(tokens.get(`a${end}`)).toBeUndefined()
  expect(tokens.get(`b${end}`)).toBe(2)
})

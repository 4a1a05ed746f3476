import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { matches } from '../../src/aggregate/uri-route.ts'

describe('matches', () => {
  test.each([
    ['test://template/{id}/data', 'test://template/1/data', true],
    ['test://template/{id}/data', 'test://template//data', false],
    ['test://template/{id}/data', 'test://template/a/b/data', true],
    ['test://template/{id}/data', 'test://template/1/data/x', false],
    ['test://template/{id}/data', 'xtest://template/1/data', false],
    ['test://template/{id}/data', 'test://template/data', false],
    ['file:///{+path}', 'file:///a/b', true],
    ['file:///{+path}', 'file:///', false],
    ['file:///a', 'file:///a', true],
    ['file:///a', 'file:///ab', false],
    ['{scheme}://x', 'a://x', true],
    ['a{b}{c}', 'ax', true],
    ['a{b}a', 'aa', false],
    ['a{b}a', 'aaa', true],
    ['a{b}c{d}c', 'axcxc', true],
    ['a{b}c{d}c', 'axcc', false],
    ['', '', true],
    ['', 'a', false],
    ['{x}', '', false],
    ['a{', 'a{', true],
    ['test://items{?page}', 'test://items?page=2', true],
    ['test://items{?page}', 'test://items', true],
    ['test://items{/rest*}', 'test://items', true],
    ['test://items{#part}', 'test://items', true],
    ['test://items?a=1{&b}', 'test://items?a=1', true],
    ['test://items{?page}', 'test://items-of-others', false],
    ['test://items{#part}', 'test://items?page=2', false],
    ['test://{id}{?page}', 'test://1', true],
    ['test://{id}{?page}', 'test://', false],
    ['test://{id}{.format}', 'test://1.json', true],
    ['test://{id}{;v}/x', 'test://1;v=2/x', true],
  ])('%s and %s: %s', (template, uri, expected) => {
    expect(matches(template, uri)).toBe(expected)
  })

  const literal = fc.string({ unit: fc.constantFrom('a', 'b', '/', ':', '.'), maxLength: 4 })
  const value = fc.string({ unit: fc.constantFrom('a', 'b', '/', 'x'), minLength: 1, maxLength: 4 })

  test('whatever a template expands to', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(literal, value), { maxLength: 4 }), literal, (parts, last) => {
        const template = parts.map(([text], index) => `${text}{v${index}}`).join('') + last
        const uri = parts.map(([text, expanded]) => text + expanded).join('') + last
        expect(matches(template, uri)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  test('agrees with the regular expression that says the same', () => {
    fc.assert(
      fc.property(fc.array(literal, { minLength: 1, maxLength: 4 }), literal, (literals, uri) => {
        // two expressions side by side share what they match, so they count as one
        const pattern = literals.map((text) => text.replaceAll('.', '\\.')).join('.+')
        const adjacent = literals.slice(1, -1).includes('')
        if (!adjacent) {
          expect(matches(literals.join('{v}'), uri)).toBe(new RegExp(`^${pattern}$`, 's').test(uri))
        }
      }),
      { numRuns: 300 },
    )
  })

  test('a hostile template costs no more than its length', () => {
    const startedAt = performance.now()
    expect(matches(`${'{v}a'.repeat(20_000)}b`, 'a'.repeat(200_000))).toBe(false)
    expect(matches('{'.repeat(200_000), 'a'.repeat(200_000))).toBe(false)
    expect(performance.now() - startedAt).toBeLessThan(2_000)
  })
})

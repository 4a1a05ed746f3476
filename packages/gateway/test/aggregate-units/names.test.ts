import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { publicName, serverPart, splitPublicName } from '../../src/aggregate/names.ts'

/** Characters around which the rules turn, and any others. */
const unit = fc.oneof(
  fc.constantFrom('a', 'b', '_', '-', '.', '/'),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
)
const word = (maxLength: number) => fc.array(unit, { minLength: 1, maxLength }).map((units) => units.join(''))
const servers = fc.oneof(word(6), word(40))
const tools = fc.oneof(word(6), word(90))

describe('public names', () => {
  test('have at most 64 characters that every model API takes', () => {
    fc.assert(
      fc.property(servers, tools, (server, tool) => {
        expect(publicName(server, tool)).toMatch(/^[A-Za-z0-9_-]{1,64}$/)
        expect(serverPart(server)).toMatch(/^[A-Za-z0-9_-]{1,24}$/)
      }),
      { numRuns: 300 },
    )
  })

  test('depend on server and tool alone', () => {
    expect(publicName('files', 'read_file')).toBe('files__read_file')
    expect(publicName('files', 'read_file')).toBe(publicName('files', 'read_file'))
    expect(publicName('files', '_private')).toBe('files___private')
  })

  test('differ for every pair of server and tool', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(servers, tools), {
          selector: (pair) => JSON.stringify(pair),
          minLength: 2,
          maxLength: 30,
        }),
        (pairs) => {
          const names = pairs.map(([server, tool]) => publicName(server, tool))
          expect(new Set(names).size).toBe(pairs.length)
        },
      ),
      { numRuns: 300 },
    )
  })

  test('tell by their end that the name of the tool was changed', () => {
    const changed = publicName('s', 'files.read')
    const lookalike = splitPublicName(changed)?.rest ?? ''
    expect(publicName('s', lookalike)).not.toBe(changed)
    expect(publicName('s', 'color_deadbeef')).not.toBe('s__color_deadbeef')
    expect(publicName('s', 'deadbeef')).toBe('s__deadbeef')
  })

  test('of names that only differ in what is not allowed, or behind the cut', () => {
    const alike = [
      'a.b',
      'a_b',
      'a/b',
      'a b',
      'a:b',
      'a\u{1f600}b',
      'a\ud83db',
      `${'x'.repeat(70)}1`,
      `${'x'.repeat(70)}2`,
    ]
    expect(new Set(alike.map((name) => publicName('s', name))).size).toBe(alike.length)
    const homes = ['a.b', 'a_b', 'a__b', 'a_b_', '_', '__', 'A_b', `${'x'.repeat(30)}1`, `${'x'.repeat(30)}2`]
    expect(new Set(homes.map(serverPart)).size).toBe(homes.length)
  })
})

describe('splitPublicName', () => {
  test('finds the server, and the tool unless its name had to be changed', () => {
    fc.assert(
      fc.property(servers, tools, (server, tool) => {
        const name = publicName(server, tool)
        const parts = splitPublicName(name)
        expect(parts?.server).toBe(serverPart(server))
        const fits = /^[A-Za-z0-9_-]*$/.test(tool) && serverPart(server).length + 2 + tool.length <= 64
        const unchanged = fits && !/_[0-9a-f]{8}$/.test(tool)
        if (unchanged) expect(parts?.rest).toBe(tool)
        else expect(publicName(server, parts?.rest ?? '')).not.toBe(name)
      }),
      { numRuns: 300 },
    )
  })

  test.each(['', 'x', '_x', '__x', '__', 'a_b'])('%j names no server', (name) => {
    expect(splitPublicName(name)).toBeUndefined()
  })
})

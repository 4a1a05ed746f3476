import { globSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { requirements } from './requirements.ts'

const folder = import.meta.dirname
const read = (pattern: string) =>
  globSync(pattern, { cwd: folder, exclude: ['requirements.test.ts'] }).map((file) =>
    readFileSync(`${folder}/${file}`, 'utf8'),
  )

/** In titles as `what happens [one-id, another-id]`, and for each kind of client beside its name. */
const cited = new Set([
  ...read('*.test.ts').flatMap((source) =>
    [...source.matchAll(/ \[([a-z0-9-]+(?:, [a-z0-9-]+)*)\]['"`]/g)].flatMap(([, ids = '']) =>
      ids.split(', '),
    ),
  ),
  ...read('client-kinds.ts').flatMap((source) =>
    [...source.matchAll(/cites: '([a-z0-9-]+)'/g)].map(([, id = '']) => id),
  ),
])

it('every requirement is cited by a test, and nothing else is', () => {
  expect([...cited].toSorted()).toEqual(Object.keys(requirements).toSorted())
})

it('every requirement says what can be counted on and where that is promised', () => {
  for (const { behaviour, source } of Object.values(requirements)) {
    expect(behaviour).toMatch(/^\S.{10,}/)
    expect(source).not.toBe('')
  }
})

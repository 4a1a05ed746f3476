import fc from 'fast-check'
import { expect, test } from 'vitest'
import { believing, bearer, startGateway } from '../flow/harness.ts'
import { at, listAt, RawSession } from '../flow/raw-client.ts'
import { startScriptedHttp } from '../flow/scripted-http.ts'

const cursors = fc.uniqueArray(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }).filter((it) => it.isWellFormed()),
  {
    minLength: 1,
    maxLength: 3,
  },
)

test("a server's cursors come back to it as they were, and ours work for one caller, one list and one spelling", async () => {
  let pages: readonly string[] = []
  const asked: unknown[] = []
  const list =
    (kind: 'tools' | 'prompts') => (turn: { readonly params: Readonly<Record<string, unknown>> }) => {
      const { cursor } = turn.params
      if (kind === 'tools') asked.push(cursor)
      const index = cursor === undefined ? 0 : pages.indexOf(String(cursor)) + 1
      return { [kind]: [{ name: `n${index}`, inputSchema: { type: 'object' } }], nextCursor: pages[index] }
    }
  const server = await startScriptedHttp({
    name: 's',
    capabilities: { tools: {}, prompts: {} },
    on: { 'tools/list': list('tools'), 'prompts/list': list('prompts') },
  })
  let now = Date.now()
  const { url } = await startGateway({
    servers: { s: { url: server.url } },
    authenticate: believing,
    limits: { pageItems: 1 },
    now: () => now,
  })
  const ada = await RawSession.open(url, { headers: bearer('acme/ada') })
  const bob = await RawSession.open(url, { headers: bearer('acme/bob') })
  const damage = fc.record({ at: fc.nat(), to: fc.constantFrom(...'AQgwz09-_=. é') })
  await fc.assert(
    fc.asyncProperty(cursors, damage, async (own, { at: place, to }) => {
      // what was kept of the run before is too old now
      now += 120_000
      pages = own
      asked.length = 0
      const seen: unknown[] = []
      let cursor: unknown
      do {
        const answer = await ada.request('tools/list', cursor === undefined ? {} : { cursor })
        seen.push(...listAt(answer, 'result', 'tools').map((tool) => at(tool, 'name')))
        const next = at(answer, 'result', 'nextCursor')
        if (typeof next === 'string') {
          const spot = place % next.length
          const changed = [
            next.slice(0, spot) + to + next.slice(spot + 1),
            next.slice(0, spot) + to + next.slice(spot),
            next.slice(0, spot),
          ].filter((it) => it !== next)
          const refusals = [
            await bob.request('tools/list', { cursor: next }),
            await ada.request('prompts/list', { cursor: next }),
            ...(await Promise.all(changed.map((it) => ada.request('tools/list', { cursor: it })))),
          ]
          expect(refusals.map((it) => at(it, 'error', 'code'))).toEqual(refusals.map(() => -32602))
        }
        cursor = next
      } while (cursor !== undefined)
      expect(seen).toEqual([...own, ''].map((_, index) => `s__n${index}`))
      expect(asked).toEqual([undefined, ...own])
    }),
    { numRuns: 60 },
  )
})

import { createMemoryServerRegistry } from '@sallyport/core/memory'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { startGateway, until } from '../flow/harness.ts'
import { at, listAt, RawSession } from '../flow/raw-client.ts'
import { scriptedRuntime } from '../flow/scripted-runtime.ts'
import { text } from '../flow/scripted-server.ts'

const unit = fc.oneof(
  fc.constantFrom('a', 'b', '_', '__', '-', '.', ' ', '_0123abcd'),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
)
const word = (maxLength: number) => fc.array(unit, { minLength: 1, maxLength }).map((units) => units.join(''))
const serverName = word(5).filter(
  (name) => /^[^/\p{Cc}\u2028\u2029\p{Surrogate}]{1,64}$/u.test(name) && !/^\.\.?$/.test(name),
)
const toolNames = fc.uniqueArray(fc.oneof(word(4), word(80)), { minLength: 1, maxLength: 3 })
const servers = fc.uniqueArray(fc.tuple(serverName, toolNames), {
  minLength: 2,
  maxLength: 4,
  selector: ([name]) => name,
})

async function namesOf(session: RawSession): Promise<readonly string[]> {
  const answer = await session.request('tools/list')
  return listAt(answer, 'result', 'tools').map((tool) => String(at(tool, 'name')))
}

test('each name of the merged list leads to the tool it stands for, and none changes when a server joins', async () => {
  await fc.assert(
    fc.asyncProperty(servers, async (all) => {
      const scripts = all.map(([name, tools], index) => [
        `script-${index}`,
        { name, tools, call: (_: unknown, tool: string) => text(JSON.stringify([name, tool])) },
      ])
      const definitions = all.map(([name], index) => [name, { command: `script-${index}` }] as const)
      const registry = createMemoryServerRegistry(Object.fromEntries(definitions.slice(1)))
      const runtime = scriptedRuntime(Object.fromEntries(scripts))
      const { gateway, url } = await startGateway({ servers: registry, runtime })
      await gateway.ready()
      const session = await RawSession.open(url)
      const before = await namesOf(session)
      registry.replace(Object.fromEntries(definitions))
      const tools = all.flatMap(([name, own]) => own.map((tool) => [name, tool]))
      const names = await until(async () => {
        const now = await namesOf(session)
        expect(now.length).toBe(tools.length)
        return now
      })
      expect(names.slice(-before.length)).toEqual(before)
      expect(new Set(names).size).toBe(names.length)
      for (const [index, name] of names.entries()) {
        expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/)
        const answer = await session.call(name)
        expect(JSON.parse(String(at(answer, 'result', 'content', 0, 'text')))).toEqual(tools[index])
      }
      await gateway.close({ deadlineMs: 0 })
    }),
    { numRuns: 40 },
  )
})

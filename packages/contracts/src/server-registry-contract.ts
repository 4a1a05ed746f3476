import assert from 'node:assert/strict'
import type { ServerDefinition, ServerRegistry } from '@sallyport/core'
import { type ContractCase, casesFor } from './contract-case.ts'
import { until } from './within.ts'

export interface ServerRegistrySubject {
  readonly registry: ServerRegistry
  /** Changes the servers the way it is done in earnest. */
  replace(servers: Readonly<Record<string, ServerDefinition>>): void | Promise<void>
  close?(): void | Promise<void>
}

/**
 * The contract of `ServerRegistry`.
 * @param options.open a registry that holds these servers
 * @param options.openDead a registry whose backend is dead, if it can be had
 */
export function serverRegistryContract(options: {
  open(
    servers: Readonly<Record<string, ServerDefinition>>,
  ): ServerRegistrySubject | Promise<ServerRegistrySubject>
  openDead?(): ServerRegistry | Promise<ServerRegistry>
}): ContractCase[] {
  const { openDead } = options
  const cases = casesFor(() => options.open(initial), checks)
  if (openDead === undefined) return cases
  return [
    ...cases,
    {
      name: 'a dead backend is an error, not an empty list',
      async run() {
        const registry = await openDead()
        await assert.rejects(async () => registry.list())
      },
    },
  ]
}

const initial: Readonly<Record<string, ServerDefinition>> = {
  zebra: {
    command: 'zebra',
    args: ['-a', ''],
    env: { A: '1' },
    cwd: '/srv',
    sharing: 'session',
    timeoutMs: 5,
  },
  ape: { url: 'https://ape.example/mcp', headers: { 'X-A': '1' }, transport: 'sse' },
  'My Server': { command: 'x' },
}
const changed: Readonly<Record<string, ServerDefinition>> = {
  ape: { url: 'https://ape.example/v2' },
  new: { command: 'n' },
}

/** Counts calls. */
function createListener(): { calls: number; readonly listen: () => void } {
  const counter = {
    calls: 0,
    listen: () => {
      counter.calls += 1
    },
  }
  return counter
}

const checks: Record<string, (subject: ServerRegistrySubject) => Promise<void>> = {
  async 'servers are listed as given, in order'({ registry }) {
    assert.deepEqual([...(await registry.list())], Object.entries(initial))
  },

  async 'what is done to a list does not change the registry'({ registry }) {
    const list = await registry.list()
    if (list instanceof Map) list.clear()
    assert.deepEqual([...(await registry.list()).keys()], Object.keys(initial))
  },

  async 'a change is visible to list when the listener is called'({ registry, replace }) {
    const seen: Promise<string[]>[] = []
    const end = registry.watch(() =>
      seen.push(Promise.resolve(registry.list()).then((list) => [...list.keys()])),
    )
    await replace(changed)
    await until('the listener is called', () => seen.length > 0)
    assert.deepEqual(await seen[0], Object.keys(changed))
    assert.deepEqual([...(await registry.list())], Object.entries(changed))
    end()
  },

  async 'the listener is called once for each change, and not before'({ registry, replace }) {
    const listener = createListener()
    const end = registry.watch(listener.listen)
    assert.equal(listener.calls, 0)
    await replace(changed)
    await until('the first call', () => listener.calls >= 1)
    assert.equal(listener.calls, 1)
    await replace(initial)
    await until('the second call', () => listener.calls >= 2)
    assert.equal(listener.calls, 2)
    end()
  },

  async 'everyone who watches is told, until they end it'({ registry, replace }) {
    const [first, second] = [createListener(), createListener()]
    const endFirst = registry.watch(first.listen)
    const endSecond = registry.watch(second.listen)
    await replace(changed)
    await until('both are told', () => first.calls >= 1 && second.calls >= 1)
    endFirst()
    endFirst()
    await replace(initial)
    await until('the second is told', () => second.calls >= 2)
    assert.equal(first.calls, 1)
    endSecond()
  },

  async 'one function can watch twice'({ registry, replace }) {
    const listener = createListener()
    const ends = [registry.watch(listener.listen), registry.watch(listener.listen)]
    await replace(changed)
    await until('it is told twice', () => listener.calls >= 2)
    assert.equal(listener.calls, 2)
    ends[0]?.()
    await replace(initial)
    await until('it is told once more', () => listener.calls >= 3)
    assert.equal(listener.calls, 3)
    ends[1]?.()
  },

  async 'it may become empty, and hold any name'({ registry, replace }) {
    await replace({})
    await until('the list is empty', async () => (await registry.list()).size === 0)
    const odd: Record<string, ServerDefinition> = JSON.parse(
      '{"__proto__": {"command": "a"}, "constructor": {"command": "b"}}',
    )
    await replace(odd)
    await until('the list is not empty', async () => (await registry.list()).size === 2)
    assert.deepEqual([...(await registry.list()).keys()], ['__proto__', 'constructor'])
  },
}

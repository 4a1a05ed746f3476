import { createMemoryServerRegistry } from '@sallyport/core/memory'
import { expect, test } from 'vitest'
import { failing, serverRegistryContract } from '../src/index.ts'

const cases = serverRegistryContract({
  open(servers) {
    const registry = createMemoryServerRegistry(servers)
    return { registry, replace: (next) => registry.replace(next) }
  },
  openDead: () => failing(createMemoryServerRegistry(), { only: ['list'] }),
})
test.each(cases)('$name', async ({ run }) => expect(run()).resolves.toBeUndefined())

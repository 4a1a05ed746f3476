import { createMemoryMcpSessionStore } from '@sallyport/core/memory'
import { expect, test } from 'vitest'
import { delayed, failing, mcpSessionStoreContract } from '../src/index.ts'

const openDead = () => failing(createMemoryMcpSessionStore())
const cases = mcpSessionStoreContract({
  open: (clock) => ({ store: createMemoryMcpSessionStore(clock) }),
  openDead,
})
test.each(cases)('$name', async ({ run }) => expect(run()).resolves.toBeUndefined())

const slow = mcpSessionStoreContract({
  open: (clock) => ({ store: delayed(createMemoryMcpSessionStore(clock), 1) }),
  openDead: () => failing(createMemoryMcpSessionStore(), { synchronously: true }),
})
test.each(slow)('slow: $name', async ({ run }) => expect(run()).resolves.toBeUndefined())

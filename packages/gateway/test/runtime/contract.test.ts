import { nodeTestServers, serverRuntimeContract } from '@sallyport/contracts'
import { expect, test } from 'vitest'
import { createChildProcessRuntime } from '../../src/runtime/child-process-runtime.ts'

const cases = serverRuntimeContract({
  open: () => ({ runtime: createChildProcessRuntime(), servers: nodeTestServers() }),
})
test.each(cases)('$name', async ({ run }) => expect(run()).resolves.toBeUndefined())

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { openV1, textOf } from './client-kinds.ts'
import { nodeArguments, startProgram } from './gateway-process.ts'
import { alive, descendantsOf } from './process-tree.ts'

const patience = { timeout: 30_000 }

describe('the demo', { timeout: 60_000 }, () => {
  it('shows what four servers answer, and ends [demo-ends, demo-leaves-nothing]', async () => {
    const demo = await startDemo()
    const processes = new Set<number>()
    const watch = setInterval(() => {
      for (const pid of descendantsOf(demo.pid)) processes.add(pid)
    }, 100)
    const how = await demo.ended
    clearInterval(watch)
    expect({ how, complaints: demo.stderr() }).toEqual({ how: 0, complaints: '' })
    for (const server of ['everything', 'everything-http', 'files', 'memory'])
      expect(demo.stdout()).toContain(`answered by ${server} in `)
    for (const answer of [
      '19 and 23 is 42',
      'Hello from a file',
      'knowledge-graph',
      "What's weather in Lisbon",
    ])
      expect(demo.stdout()).toContain(answer)
    expect(processes.size).toBeGreaterThanOrEqual(4)
    await vi.waitFor(() => expect(alive([...processes])).toEqual([]), patience)
    expect(await demo.leftovers()).toEqual([])
  })

  it('stays up until Ctrl-C, for the client that it shows the entry for [demo-stays, demo-leaves-nothing]', async () => {
    const demo = await startDemo('--stay')
    await vi.waitFor(() => expect(demo.stdout()).toContain('Ctrl-C'), patience)
    const { url } = JSON.parse(/^\{\n.*?\n\}$/ms.exec(demo.stdout())?.[0] ?? '').mcpServers.sallyport
    const client = await openV1({ url })
    const sum = await client.callTool({ name: 'everything-http__get-sum', arguments: { a: 1, b: 2 } })
    expect(textOf(sum)).toContain('3')
    await client.close()
    const processes = descendantsOf(demo.pid)
    demo.child.kill('SIGINT')
    expect(await demo.ended).toBe(0)
    await vi.waitFor(() => expect(alive(processes)).toEqual([]), patience)
    expect(await demo.leftovers()).toEqual([])
  })

  it('says why it fails [demo-fails, demo-leaves-nothing]', async () => {
    const holder = createServer()
    const port = await new Promise<number>((resolve) => {
      holder.listen(0, '127.0.0.1', () => {
        const address = holder.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
    onTestFinished(() => void holder.close())
    const demo = await startDemo('--port', String(port))
    expect(await demo.ended).toBe(1)
    expect(demo.stderr()).toBe(
      `\nThe demo failed: listen EADDRINUSE: address already in use 127.0.0.1:${port}\n`,
    )
    expect(await demo.leftovers()).toEqual([])
  })
})

/** In a folder for temporary files of its own, where nobody else leaves any. */
async function startDemo(...args: readonly string[]) {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-e2e-demo-'))
  const demo = startProgram(nodeArguments('examples/quickstart/demo.ts', ...args), { TMPDIR: folder })
  onTestFinished(async () => {
    await demo.stop()
    await rm(folder, { recursive: true, force: true })
  })
  return { ...demo, leftovers: () => readdir(folder) }
}

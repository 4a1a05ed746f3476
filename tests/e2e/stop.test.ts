import { Client as ClientV2 } from '@modelcontextprotocol/client'
import { describe, expect, it, vi } from 'vitest'
import { openV1, openV2, textOf } from './client-kinds.ts'
import { createConfigFile, gatewayArguments, startHttpGateway, startProgram } from './gateway-process.ts'
import { alive, descendantsOf } from './process-tree.ts'
import { rawClient } from './raw-client.ts'
import { fixtureEntry, npmEntry } from './servers.ts'

const slow = { name: 'local__slow', arguments: { ms: 2_000 } }

describe.concurrent('a gateway that is told to stop', { timeout: 60_000 }, () => {
  it('over HTTP finishes its calls, then all ends [stop-finishes-calls, stop-refuses-new, stop-leaves-nothing]', async ({
    onTestFinished: cleanUp,
  }) => {
    const gateway = await startHttpGateway({ local: fixtureEntry(), memory: npmEntry('memory') })
    cleanUp(() => gateway.stop())
    const legacy = await openV1({ url: gateway.url })
    const single = await openV1({ url: `${gateway.url}/local` })
    const modern = await openV2(
      { url: `${gateway.url}/local` },
      new ClientV2(
        { name: 'sallyport-e2e', version: '1.0.0' },
        { versionNegotiation: { mode: { pin: '2026-07-28' } } },
      ),
    )
    // so that server has a process too
    await legacy.callTool({ name: 'memory__read_graph' })
    let begun = 0
    const options = {
      onprogress: () => {
        begun++
      },
    }
    const calls = [
      legacy.callTool(slow, undefined, options),
      single.callTool({ ...slow, name: 'slow' }, undefined, options),
      modern.callTool({ ...slow, name: 'slow' }, options),
    ]
    await vi.waitFor(() => expect(begun).toBe(3), { timeout: 10_000 })
    const processes = descendantsOf(gateway.pid)
    expect(processes.length).toBeGreaterThanOrEqual(3)

    gateway.child.kill('SIGTERM')
    const ready = new URL('/readyz', gateway.url)
    await vi.waitFor(async () => expect((await fetch(ready)).status).toBe(503))
    expect((await fetch(new URL('/livez', gateway.url))).status).toBe(200)
    await expect(openV1({ url: gateway.url })).rejects.toThrow(/shutting down|503/)

    const texts = (await Promise.all(calls)).map(textOf)
    expect(texts).toEqual(Array.from({ length: 3 }, () => 'waited 2000 ms'))
    expect(await gateway.ended).toBe(0)
    await expectGone(processes)
    await Promise.all([legacy.close(), single.close(), modern.close()])
  })

  it('over stdio finishes its calls, then all ends [stop-finishes-calls, stop-leaves-nothing]', async ({
    onTestFinished: cleanUp,
  }) => {
    const config = await createConfigFile({ local: fixtureEntry() })
    cleanUp(() => config.remove())
    const program = startProgram(gatewayArguments(config.path, '--stdio'))
    cleanUp(() => program.stop())
    const client = rawClient(program)
    await client.initialize()
    client.send({ id: 1, method: 'tools/call', params: { ...slow, _meta: { progressToken: 'begun' } } })
    await client.receives({ method: 'notifications/progress' })
    const processes = descendantsOf(program.pid)
    program.child.kill('SIGTERM')
    await client.receives({
      id: 1,
      result: expect.objectContaining({ content: [{ type: 'text', text: 'waited 2000 ms' }] }),
    })
    expect(await program.ended).toBe(0)
    await expectGone(processes)
  })

  it('leaves no process after SIGINT [stop-leaves-nothing]', async () => {
    const { gateway, client } = await startWithClient()
    const processes = descendantsOf(gateway.pid)
    gateway.child.kill('SIGINT')
    expect(await gateway.ended).toBe(130)
    await expectGone(processes)
    await client.close()
    await gateway.stop()
  })

  it('does not wait for calls when it is told twice, and leaves no process [stop-leaves-nothing]', async () => {
    const { gateway, client } = await startWithClient()
    const { ended } = await hang(client)
    const processes = descendantsOf(gateway.pid)
    gateway.child.kill('SIGTERM')
    const ready = new URL('/readyz', gateway.url)
    await vi.waitFor(async () => expect((await fetch(ready)).status).toBe(503))
    gateway.child.kill('SIGTERM')
    expect(await gateway.ended).toBe(143)
    await expectGone(processes)
    await client.close()
    expect(await ended).toBe('broken off')
    await gateway.stop()
  })

  it('leaves no process when it is killed [killed-leaves-nothing]', async () => {
    const { gateway, client } = await startWithClient()
    const { ended } = await hang(client)
    const processes = descendantsOf(gateway.pid)
    gateway.child.kill('SIGKILL')
    expect(await gateway.ended).toBe('SIGKILL')
    await expectGone(processes)
    await client.close()
    expect(await ended).toBe('broken off')
    await gateway.stop()
  })
})

async function startWithClient() {
  const gateway = await startHttpGateway({ local: fixtureEntry() })
  const client = await openV1({ url: gateway.url })
  await client.callTool({ name: 'local__echo' })
  expect(descendantsOf(gateway.pid).length).toBeGreaterThan(0)
  return { gateway, client }
}

/** A call that has begun and never ends by itself; resolves with how it ended. */
async function hang(client: Awaited<ReturnType<typeof openV1>>): Promise<{ ended: Promise<unknown> }> {
  let ended: Promise<unknown> = Promise.resolve()
  await new Promise<void>((resolve) => {
    const call = client.callTool({ name: 'local__hang' }, undefined, { onprogress: () => resolve() })
    ended = call.catch(() => 'broken off')
  })
  return { ended }
}

async function expectGone(processes: readonly number[]): Promise<void> {
  await vi.waitFor(() => expect(alive(processes)).toEqual([]), { timeout: 10_000 })
}

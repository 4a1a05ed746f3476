import { describe, expect, it, vi } from 'vitest'
import { createConfigFile, gatewayArguments, startProgram } from './gateway-process.ts'
import { alive, descendantsOf } from './process-tree.ts'
import { rawClient } from './raw-client.ts'
import { fixtureEntry } from './servers.ts'

describe.concurrent('the gateway on standard input and output', () => {
  it('writes messages only, answers what is open at the end of its input, and ends [stdio-clean, stdio-end]', async ({
    onTestFinished: cleanUp,
  }) => {
    const noisy = 'data:text/javascript,console.log("garbage on stdout");console.error("noise on stderr")'
    const { command, args, env } = fixtureEntry()
    const config = await createConfigFile({
      noisy: { command, args: ['--import', noisy, ...args], env, unknownKey: true },
      gone: { command: 'no-such-program-anywhere' },
    })
    cleanUp(() => config.remove())
    const program = startProgram(gatewayArguments(config.path, '--stdio', '--verbose'))
    cleanUp(() => program.stop())
    const client = rawClient(program)
    await client.initialize()
    client.sendLine('this is no message')
    await client.receives({ error: expect.objectContaining({ code: -32700 }) })
    client.send({ id: 1, method: 'tools/list' })
    await client.receives({ id: 1, result: expect.anything() })
    client.send({
      id: 2,
      method: 'tools/call',
      params: { name: 'noisy__slow', arguments: { ms: 500 }, _meta: { progressToken: 'open' } },
    })
    await client.receives({ method: 'notifications/progress' })
    const processes = descendantsOf(program.pid)
    expect(processes.length).toBeGreaterThan(0)

    program.child.stdin?.end()
    await client.receives({ id: 2, result: expect.anything() })
    expect(await program.ended).toBe(0)
    await vi.waitFor(() => expect(alive(processes)).toEqual([]), { timeout: 5_000 })
    for (const line of client.lines) expect(JSON.parse(line)).toMatchObject({ jsonrpc: '2.0' })
    expect(program.stdout()).toBe(client.lines.map((line) => `${line}\n`).join(''))
    for (const said of ['garbage on stdout', 'noise on stderr', 'unknownKey', 'no-such-program-anywhere'])
      expect(program.stderr()).toContain(said)
  })

  it('starts no server but the one that is asked for [stdio-one-server]', async ({
    onTestFinished: cleanUp,
  }) => {
    const config = await createConfigFile({
      one: fixtureEntry('legacy'),
      other: fixtureEntry('legacy', 'other'),
    })
    cleanUp(() => config.remove())
    const program = startProgram(gatewayArguments(config.path, '--stdio', '--server', 'one'))
    cleanUp(() => program.stop())
    const client = rawClient(program)
    await client.initialize()
    client.send({ id: 1, method: 'tools/call', params: { name: 'process' } })
    await client.receives({ id: 1, result: expect.anything() })
    // the server, and the guard that would end it if the gateway were killed
    await vi.waitFor(() => expect(descendantsOf(program.pid)).toHaveLength(2), { timeout: 5_000 })
  })

  it('knows no server of another name [stdio-one-server]', async ({ onTestFinished: cleanUp }) => {
    const config = await createConfigFile({ one: fixtureEntry(), two: fixtureEntry() })
    cleanUp(() => config.remove())
    const program = startProgram(gatewayArguments(config.path, '--stdio', '--server', 'three'))
    expect(await program.ended).toBe(1)
    expect(program.stdout()).toBe('')
    expect(program.stderr()).toBe(`${config.path}: there is no server "three"; there are: one, two\n`)
  })
})

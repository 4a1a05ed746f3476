import { Client as ClientV2 } from '@modelcontextprotocol/client'
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js'
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js'
import { describe, expect, it, vi } from 'vitest'
import { openV1, openV2, type Place, textOf } from './client-kinds.ts'
import {
  type ConfigFile,
  createConfigFile,
  gatewayArguments,
  type HttpGateway,
  startHttpGateway,
} from './gateway-process.ts'
import { alive, descendantsOf } from './process-tree.ts'
import { fixtureEntry } from './servers.ts'

const info = { name: 'sallyport-e2e', version: '1.0.0' }
const patience = { timeout: 20_000 }
const local = fixtureEntry()
const slow = { ms: 2_000 }
const waited = 'waited 2000 ms'
const extra = fixtureEntry('dual', 'extra')

/** A client that hears of changes, whatever it takes in its era. */
interface Listener {
  heard(): number
  toolNames(): Promise<string[]>
  /** Resolves when the server has begun; the answer comes later. */
  begin(tool: string, values: Record<string, unknown>): Promise<{ answer: Promise<string> }>
  call(tool: string): Promise<string>
  close(): Promise<void>
}

describe.concurrent('editing the configuration of a running gateway', { timeout: 60_000 }, () => {
  it.for([
    { kind: 'a legacy client', listen: listenV1 },
    { kind: 'a modern client', listen: listenModern },
  ])(
    'over stdio $kind hears of a server that is added and keeps its call [reload-adds, reload-tells-clients]',
    async ({ listen }, { onTestFinished }) => {
      const config = await createConfigFile({ local })
      onTestFinished(() => config.remove())
      const client = await listen({ args: gatewayArguments(config.path, '--stdio') })
      onTestFinished(() => client.close())
      expect(await addServer([client], config)).toEqual([waited])
    },
  )

  it('over HTTP too, past mistakes and removals [reload-adds, reload-tells-clients, reload-removes, reload-mistake]', async ({
    onTestFinished,
  }) => {
    const gateway = await startHttpGateway({ local })
    onTestFinished(() => gateway.stop())
    const clients = await Promise.all([listenV1({ url: gateway.url }), listenModern({ url: gateway.url })])
    for (const client of clients) onTestFinished(() => client.close())
    expect(await addServer(clients, gateway.config)).toEqual([waited, waited])
    await breakFile(clients, gateway)
    expect(await removeServer(clients, gateway)).toEqual([waited, waited])
  })
})

/** Answers what came of the calls that were under way. */
async function addServer(clients: readonly Listener[], config: ConfigFile): Promise<string[]> {
  for (const client of clients) expect(await client.toolNames()).not.toContain('extra__echo')
  const calls = await Promise.all(clients.map((client) => client.begin('local__slow', slow)))
  await edit(clients, () => config.write({ local, extra }))
  for (const client of clients) {
    expect(await client.toolNames()).toEqual(expect.arrayContaining(['local__echo', 'extra__echo']))
    expect(await client.call('extra__echo')).toBe('{}')
  }
  return Promise.all(calls.map(({ answer }) => answer))
}

async function breakFile(clients: readonly Listener[], gateway: HttpGateway): Promise<void> {
  await gateway.config.write('{\n  "mcpServers": {\n    "local": { "comand": "node" }\n  }\n}')
  const report = `${gateway.config.path}:3:14: mcpServers.local: has neither`
  await vi.waitFor(() => expect(gateway.stderr()).toContain(report), patience)
  for (const client of clients) expect(await client.call('extra__echo')).toBe('{}')
}

async function removeServer(clients: readonly Listener[], gateway: HttpGateway): Promise<string[]> {
  const answers = await Promise.all(clients.map((client) => client.call('extra__process')))
  const pids = answers.map((answer) => Number(JSON.parse(answer).pid))
  expect(descendantsOf(gateway.pid)).toEqual(expect.arrayContaining(pids))
  const calls = await Promise.all(clients.map((client) => client.begin('extra__slow', slow)))
  await edit(clients, () => gateway.config.write({ local }))
  for (const client of clients) {
    expect(await client.toolNames()).not.toContain('extra__echo')
    await expect(client.call('extra__echo')).rejects.toThrow(/extra/)
    expect(await client.call('local__echo')).toBe('{}')
  }
  const late = await Promise.all(calls.map(({ answer }) => answer))
  await vi.waitFor(() => expect(alive(pids)).toEqual([]), patience)
  return late
}

/** Changes the file and waits until every client has heard of a change of the tools. */
async function edit(clients: readonly Listener[], change: () => Promise<void>): Promise<void> {
  const before = clients.map((client) => client.heard())
  await change()
  const heard = () => clients.map((client, index) => client.heard() > (before[index] ?? 0))
  await vi.waitFor(() => expect(heard()).not.toContain(false), patience)
}

async function listenV1(place: Place): Promise<Listener> {
  const client = new ClientV1(info)
  let heard = 0
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
    heard++
  })
  await openV1(place, client)
  return {
    heard: () => heard,
    toolNames: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name) => textOf(await client.callTool({ name, arguments: {} })),
    begin: (name, values) =>
      begin(async (onprogress) =>
        textOf(await client.callTool({ name, arguments: values }, undefined, { onprogress })),
      ),
    close: () => client.close(),
  }
}

async function listenModern(place: Place): Promise<Listener> {
  const client = new ClientV2(info, { versionNegotiation: { mode: { pin: '2026-07-28' } } })
  let heard = 0
  client.setNotificationHandler('notifications/tools/list_changed', () => {
    heard++
  })
  await openV2(place, client)
  await client.listen({ toolsListChanged: true })
  return {
    heard: () => heard,
    toolNames: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name) => textOf(await client.callTool({ name, arguments: {} })),
    begin: (name, values) =>
      begin(async (onprogress) => textOf(await client.callTool({ name, arguments: values }, { onprogress }))),
    close: () => client.close(),
  }
}

async function begin(
  call: (onprogress: () => void) => Promise<string>,
): Promise<{ answer: Promise<string> }> {
  let answer: Promise<string> | undefined
  await new Promise<void>((resolve, reject) => {
    answer = call(resolve)
    answer.catch(reject)
  })
  return { answer: answer ?? Promise.reject(new Error('nothing was called')) }
}

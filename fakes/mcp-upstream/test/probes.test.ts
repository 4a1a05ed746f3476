import type { Client } from '@modelcontextprotocol/client'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { type McpUpstream, type McpUpstreamOptions, startMcpUpstream } from '../src/index.ts'
import { connectV1, connectV2, type Mode, type Place, textOf } from './sdk-clients.ts'

async function startUpstream(options: McpUpstreamOptions = {}): Promise<McpUpstream> {
  const upstream = await startMcpUpstream(options)
  onTestFinished(() => upstream.close())
  return upstream
}

async function connect(place: Place, mode: Mode) {
  const client = await connectV2(place, mode)
  onTestFinished(() => client.close())
  return client
}

async function parsedCall(client: Client, name: string, values = {}): Promise<unknown> {
  return JSON.parse(textOf(await client.callTool({ name, arguments: values })))
}

const places: { title: string; mode: Mode; stdio?: Place }[] = [
  { title: 'modern http', mode: 'pinned' },
  { title: 'legacy http', mode: 'legacy' },
  { title: 'modern stdio', mode: 'pinned', stdio: { stdio: 'modern' } },
  { title: 'legacy stdio', mode: 'legacy', stdio: { stdio: 'legacy' } },
]

describe.each(places)('over $title', ({ mode, stdio }) => {
  let upstream: McpUpstream
  let client: Client

  beforeAll(async () => {
    upstream = await startMcpUpstream()
    client = await connectV2(stdio ?? upstream, mode)
  })

  afterAll(async () => {
    await client.close()
    await upstream.close()
  })

  it('records a cancelled call', async () => {
    const abort = new AbortController()
    const call = client.callTool(
      { name: 'slow', arguments: { ms: 60_000, key: 'mine' } },
      { signal: abort.signal, onprogress: () => abort.abort() },
    )
    await expect(call).rejects.toThrow(/abort/i)
    await vi.waitFor(async () =>
      expect(await parsedCall(client, 'cancellations')).toEqual([
        { key: 'mine', afterMs: expect.any(Number) },
      ]),
    )
  })

  it('sends as many progress notifications as it is asked for', async () => {
    const seen: number[] = []
    await client.callTool(
      // With a pause: the SDK's stdio client loses progress that it reads together with the result.
      { name: 'progress', arguments: { n: 5, intervalMs: 20 } },
      { onprogress: ({ progress }) => seen.push(progress) },
    )
    expect(seen).toEqual([1, 2, 3, 4, 5])
  })

  it('answers with as many bytes as it is asked for', async () => {
    const text = textOf(await client.callTool({ name: 'big', arguments: { bytes: 300_000 } }))
    expect(text).toHaveLength(300_000)
  })

  it('tells of a changed tool list and offers the new tool', async () => {
    const changed = vi.fn<() => void>()
    client.setNotificationHandler('notifications/tools/list_changed', changed)
    if (mode === 'pinned') await client.listen({ toolsListChanged: true })
    expect(textOf(await client.callTool({ name: 'change_list' }))).toBe('added_1')
    await vi.waitFor(() => expect(changed).toHaveBeenCalledTimes(1))
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain('added_1')
    expect(textOf(await client.callTool({ name: 'added_1' }))).toBe('added_1')
  })

  it('tells of an updated resource, and only of one that was subscribed to', async () => {
    const updated: string[] = []
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => {
      updated.push(params.uri)
    })
    const uri = 'test://watched-resource'
    if (mode === 'pinned') await client.listen({ resourceSubscriptions: [uri] })
    else await client.subscribeResource({ uri })
    await client.callTool({ name: 'touch_resource', arguments: { uri: 'test://static-text' } })
    await client.callTool({ name: 'touch_resource', arguments: { uri } })
    await vi.waitFor(() => expect(updated).toEqual([uri]))
  })
})

describe('over HTTP', () => {
  it('shows which headers arrived', async () => {
    const upstream = await startUpstream()
    const client = await connect(upstream, 'pinned')
    const shown = await parsedCall(client, 'received', { all: true })
    expect(shown).toMatchObject({
      transport: 'http',
      headers: { 'mcp-method': 'tools/call', 'mcp-name': 'received' },
    })
    expect(upstream.received().at(-1)).toMatchObject({
      httpMethod: 'POST',
      rpcMethod: 'tools/call',
      path: '/mcp',
    })
  })

  it('gives each legacy client a session and counts them', async () => {
    const upstream = await startUpstream()
    await connect(upstream, 'legacy')
    const second = await connectV1(upstream)
    expect(upstream.sessions()).toBe(2)
    await second.close()
  })
})

describe('over stdio', () => {
  it('has no headers to show', async () => {
    const client = await connect({ stdio: 'dual' }, 'auto')
    expect(await parsedCall(client, 'received')).toEqual({ transport: 'stdio' })
  })

  it('shows the names of its environment, not the values', async () => {
    const client = await connect({ stdio: 'dual' }, 'auto')
    const names = await parsedCall(client, 'environment')
    expect(names).toContain('PATH')
    expect(JSON.stringify(names)).not.toContain(process.env.PATH)
  })

  it('ends without an answer when told to', async () => {
    const client = await connect({ stdio: 'dual' }, 'auto')
    await expect(client.callTool({ name: 'exit', arguments: { code: 3 } })).rejects.toThrow(/closed/i)
  })
})

describe('pages', () => {
  it.each(['pinned', 'legacy'] as const)('covers each list exactly once (%s client)', async (mode) => {
    const whole = await connect(await startUpstream(), mode)
    const paged = await connect(await startUpstream({ pageSize: 2 }), mode)
    expect((await paged.listTools()).tools.map(({ name }) => name)).toEqual(
      (await whole.listTools()).tools.map(({ name }) => name),
    )
    expect((await paged.listPrompts()).prompts).toEqual((await whole.listPrompts()).prompts)
    expect((await paged.listResources()).resources).toEqual((await whole.listResources()).resources)
  })

  it('refuses a cursor it did not give out', async () => {
    const client = await connectV1(await startUpstream({ pageSize: 2 }))
    onTestFinished(() => client.close())
    const { tools, nextCursor } = await client.listTools()
    expect(tools).toHaveLength(2)
    expect(nextCursor).toEqual(expect.any(String))
    await expect(client.listTools({ cursor: 'bm90LW1pbmU' })).rejects.toThrow(/cursor/)
  })
})

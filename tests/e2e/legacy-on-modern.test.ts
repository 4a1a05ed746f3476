import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js'
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js'
import { type McpUpstream, startMcpUpstream } from '@sallyport/fake-mcp-upstream'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openV1, type Place, textOf } from './client-kinds.ts'
import { gatewayArguments, type HttpGateway, startHttpGateway } from './gateway-process.ts'
import { fixtureEntry } from './servers.ts'

const slow = { timeout: 60_000 }
const capabilities = { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } }

let web: McpUpstream
let gateway: HttpGateway

beforeAll(async () => {
  web = await startMcpUpstream({ era: 'modern', name: 'web' })
  gateway = await startHttpGateway({ web: { url: web.url }, local: fixtureEntry('modern', 'local') })
})

afterAll(async () => {
  await gateway.stop()
  await web.close()
})

interface Front {
  readonly name: string
  readonly prefix: boolean
  readonly place: (server: string) => Place
}

const stdio = (...more: string[]): Place => ({
  args: gatewayArguments(gateway.config.path, '--stdio', ...more),
})
const fronts: readonly Front[] = [
  { name: 'over HTTP', prefix: false, place: (server) => ({ url: `${gateway.url}/${server}` }) },
  { name: 'over HTTP, aggregated', prefix: true, place: () => ({ url: gateway.url }) },
  { name: 'over stdio', prefix: false, place: (server) => stdio('--server', server) },
  { name: 'over stdio, aggregated', prefix: true, place: () => stdio() },
]
const cases = fronts.flatMap((front) => ['web', 'local'].map((server) => ({ ...front, server })))

describe.each(cases)('SDK v1 $name with the modern server "$server"', slow, ({ place, prefix, server }) => {
  it('is served as by a server of its own era [era-legacy-on-modern]', async ({ onTestFinished }) => {
    const client = new ClientV1({ name: 'old', version: '1.0.0' }, { capabilities })
    client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => ({
      model: 'm',
      role: 'assistant',
      content: { type: 'text', text: `about ${JSON.stringify(params.messages[0]?.content)}` },
    }))
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => ({
      action: 'accept',
      content: { name: 'Ada', color: 'green', username: params.message, email: 'a@b.c' },
    }))
    client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: 'file:///work' }] }))
    const logs: unknown[] = []
    client.setNotificationHandler(
      LoggingMessageNotificationSchema,
      ({ params }) => void logs.push(params.data),
    )
    const changes: string[] = []
    client.setNotificationHandler(
      ToolListChangedNotificationSchema,
      ({ method }) => void changes.push(method),
    )
    client.setNotificationHandler(
      ResourceUpdatedNotificationSchema,
      ({ params }) => void changes.push(params.uri),
    )
    await openV1(place(server), client)
    onTestFinished(() => client.close())

    const named = (name: string) => (prefix ? `${server}__${name}` : name)
    const call = async (name: string, values: Record<string, unknown> = {}) =>
      textOf(await client.callTool({ name: named(name), arguments: values }))

    expect((await client.listTools()).tools.map(({ name }) => name)).toContain(named('echo'))
    expect(await call('test_sampling', { prompt: 'the weather' })).toContain('the weather')
    expect(await call('test_elicitation', { message: 'who?' })).toContain('"username":"who?"')
    expect(await call('test_input_required_result_multi_round')).toBe('Ada likes green')
    expect(await call('test_input_required_result_multiple_inputs')).toContain('Ada, 1 root(s)')

    const progress: number[] = []
    await client.callTool({ name: named('test_tool_with_progress'), arguments: {} }, undefined, {
      onprogress: (it) => void progress.push(it.progress),
    })
    expect(progress).toEqual([0, 50, 100])

    await call('test_tool_with_logging')
    expect(logs).toEqual([])
    await client.setLoggingLevel('info')
    await call('test_tool_with_logging')
    await vi.waitFor(() => expect(logs.length).toBe(3))

    const watched = 'test://watched-resource'
    if (!prefix) {
      await client.subscribeResource({ uri: watched })
      await call('touch_resource')
      await vi.waitFor(() => expect(changes).toContain(watched))
    }
    await call('test_trigger_tool_change')
    await vi.waitFor(() => expect(changes).toContain('notifications/tools/list_changed'))

    await expect(client.readResource({ uri: 'test://not-there' })).rejects.toMatchObject({ code: -32002 })
    const { contents } = await client.readResource({ uri: 'test://static-text' })
    expect(contents[0]).toMatchObject({ text: expect.stringContaining('static text') })
  })
})

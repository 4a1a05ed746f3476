import { PassThrough } from 'node:stream'
import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { describe, expect, it } from 'vitest'
import { allow, type GatewayOptions, type ToolsetOptions } from '../../src/index.ts'
import { serveStdio } from '../../src/stdio/index.ts'
import { connectV1, connectV2, startFixture, startGateway, textOf, until } from '../flow/harness.ts'
import { at, type Json, listAt, modern, modernStart, RawSession } from '../flow/raw-client.ts'
import { startScriptedHttp } from '../flow/scripted-http.ts'
import type { Script } from '../flow/scripted-server.ts'
import { as, claimed } from './callers.ts'

const files: Script = {
  name: 'files',
  instructions: 'how to use files',
  capabilities: { tools: {}, resources: {}, prompts: {}, completions: {}, logging: {} },
  tools: [
    'write',
    {
      name: 'read',
      description: 'reads',
      annotations: { openWorldHint: false },
      inputSchema: { type: 'object' },
    },
  ],
  resources: [
    { uri: 'file:///data/a', name: 'a' },
    { uri: 'file:///etc/passwd', name: 'passwd' },
  ],
  templates: [{ uriTemplate: 'file:///{+path}', name: 'any' }],
  on: {
    'prompts/list': () => ({ prompts: [{ name: 'ask' }, { name: 'confess' }] }),
    'prompts/get': ({ params }) => ({ messages: [], description: String(params['name']) }),
    'completion/complete': ({ params }) => ({ completion: { values: [JSON.stringify(params['ref'])] } }),
  },
}
const tickets: Script = { name: 'tickets', tools: ['read', 'close'] }

const review: ToolsetOptions = {
  tools: [
    {
      server: 'tickets',
      tool: 'read',
      as: 'read_ticket',
      title: 'Read a ticket',
      description: 'what it says',
      annotations: { readOnlyHint: true },
    },
    { server: 'files', tool: 'read', annotations: { readOnlyHint: true } },
    { server: 'files', tool: 'reda' },
  ],
  prompts: [{ server: 'files', prompt: 'ask', as: 'question' }],
  resources: [{ server: 'files', uri: 'file:///data/*' }],
  instructions: 'for reviews',
}

async function start(options: Partial<GatewayOptions> = {}) {
  const [one, two, three] = [
    await startScriptedHttp(files),
    await startScriptedHttp(tickets),
    await startScriptedHttp({ name: 'other', tools: ['x'] }),
  ]
  const running = await startGateway({
    servers: { files: { url: one.url }, tickets: { url: two.url }, other: { url: three.url } },
    toolsets: { review },
    ...options,
  })
  await running.gateway.ready()
  return { ...running, toolset: `${running.url}/toolsets/review`, other: three }
}

describe('a toolset', () => {
  it('shows what was chosen, under its own names and descriptions', async () => {
    const { toolset, log, other } = await start()
    const session = await RawSession.open(toolset)
    expect(at(session.initialized, 'result', 'instructions')).toBe('for reviews')
    expect(at(session.initialized, 'result', 'capabilities')).toEqual({
      tools: { listChanged: true },
      prompts: { listChanged: true },
      resources: { listChanged: true },
      completions: {},
      logging: {},
    })
    const tools = await session.request('tools/list')
    expect(at(tools, 'result')).toEqual({
      tools: [
        {
          name: 'read_ticket',
          title: 'Read a ticket',
          description: 'what it says',
          annotations: { readOnlyHint: true },
          inputSchema: { type: 'object' },
        },
        {
          name: 'read',
          description: 'reads',
          annotations: { openWorldHint: false, readOnlyHint: true },
          inputSchema: { type: 'object' },
        },
      ],
    })
    expect(listAt(await session.request('prompts/list'), 'result', 'prompts')).toEqual([{ name: 'question' }])
    expect(listAt(await session.request('resources/list'), 'result', 'resources')).toEqual([
      { uri: 'file:///data/a', name: 'a' },
    ])
    expect(
      listAt(await session.request('resources/templates/list'), 'result', 'resourceTemplates'),
    ).toHaveLength(1)
    await session.request('tools/list')
    const warnings = log.filter((line) => line.includes('does not list'))
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain('"name":"reda","didYouMean":"read"')
    expect(other.messages('tools/list')).toEqual([])
  })

  it('carries calls, prompts, completions and reads to the servers that were chosen, and nothing else', async () => {
    const audit = createMemoryAuditRecorder()
    const { toolset } = await start({ audit })
    const session = await RawSession.open(toolset)
    const result = async (method: string, params: Json) => (await session.request(method, params))['result']
    expect(
      at(await result('tools/call', { name: 'read_ticket', arguments: { a: 1 } }), 'content', 0, 'text'),
    ).toBe('tickets:read:{"a":1}')
    expect(at(await result('tools/call', { name: 'read' }), 'content', 0, 'text')).toBe('files:read:null')
    expect(at(await result('prompts/get', { name: 'question' }), 'description')).toBe('ask')
    const argument = { name: 'x', value: '' }
    const ref = { type: 'ref/prompt', name: 'question' }
    expect(at(await result('completion/complete', { ref, argument }), 'completion', 'values', 0)).toContain(
      '"ask"',
    )
    expect(at(await result('resources/read', { uri: 'file:///data/a' }), 'contents', 0, 'text')).toContain(
      'files',
    )
    const refused: readonly (readonly [string, Json])[] = [
      ['tools/call', { name: 'write' }],
      ['tools/call', { name: 'files__read' }],
      ['tools/call', { name: 'close' }],
      ['prompts/get', { name: 'ask' }],
      ['resources/read', { uri: 'file:///etc/passwd' }],
      ['resources/read', { uri: 'file:///data/../etc/passwd' }],
      ['completion/complete', { ref: { type: 'ref/prompt', name: 'confess' }, argument }],
      ['completion/complete', { ref: { type: 'ref/resource', uri: 'file:///{+path}' }, argument }],
      ['acme/do', { name: 'files__read' }],
    ]
    for (const [method, params] of refused)
      expect(at(await session.request(method, params), 'error'), JSON.stringify(params)).toBeDefined()
    const entry = audit.entries().find(({ intent }) => intent.target === 'read')
    expect(entry?.intent).toMatchObject({ endpoint: 'toolsets/review', server: 'tickets', target: 'read' })
  })

  it('is under policy, which speaks of the names of servers', async () => {
    const { toolset } = await start({
      authenticate: claimed,
      policy: [allow({ role: 'reader', tools: 'tickets/read' }), allow({ role: 'admin', servers: '*' })],
    })
    const session = await RawSession.open(toolset, as('ada role:reader'))
    const tools = listAt(await session.request('tools/list'), 'result', 'tools')
    expect(tools.map((each) => at(each, 'name'))).toEqual(['read_ticket'])
    expect(at(await session.call('read_ticket'), 'error')).toBeUndefined()
    expect(at(await session.call('read'), 'error', 'message')).toBe('Unknown tool: read')
    expect(listAt(await session.request('resources/list'), 'result', 'resources')).toEqual([])
    expect(at(await session.request('resources/read', { uri: 'file:///data/a' }), 'error', 'code')).toBe(
      -32002,
    )
  })

  it('is a resource of its own for tokens, and no server can stand in its place', async () => {
    const seen: string[] = []
    const server = await startScriptedHttp(tickets)
    const { url } = await startGateway({
      servers: { toolsets: { url: server.url }, tickets: { url: server.url } },
      toolsets: { 're.view': { tools: [{ server: 'tickets', tool: 'read' }] } },
      authenticate: {
        metadata: { authorizationServers: ['https://idp.example.com'] },
        authenticate(input) {
          seen.push(new URL(input.url).pathname)
          return { tenant: 't', subject: 's', roles: [], scopes: [] }
        },
      },
    })
    const toolset = await RawSession.open(`${url}/toolsets/re.view`)
    expect(listAt(await toolset.request('tools/list'), 'result', 'tools')).toHaveLength(1)
    const single = await RawSession.open(`${url}/toolsets`)
    expect(listAt(await single.request('tools/list'), 'result', 'tools')).toHaveLength(2)
    expect(new Set(seen)).toEqual(new Set(['/mcp/toolsets/re.view', '/mcp/toolsets']))
    const { origin } = new URL(url)
    const metadata = await fetch(`${origin}/.well-known/oauth-protected-resource/mcp/toolsets/re.view`)
    expect(await metadata.json()).toMatchObject({ resource: `${origin}/mcp/toolsets/re.view` })
    for (const path of ['toolsets/none', 'toolsets%2Fre.view', 'toolsets/re.view/x', 'toolsets/'])
      expect((await fetch(`${url}/${path}`, { method: 'POST' })).status, path).toBe(404)
    // a session is bound to its endpoint
    const elsewhere = new RawSession(url, toolset.headers, {})
    expect(at(await elsewhere.request('tools/list'), 'error', 'message')).toBe('there is no such session')
  })

  it('is served in the modern era, to the official client as well', async () => {
    const fix = await startFixture({ era: 'modern' })
    const legacyOnly = await startScriptedHttp(tickets)
    const { url, gateway } = await startGateway({
      servers: { fix: { url: fix.url }, old: { url: legacyOnly.url } },
      toolsets: {
        small: {
          tools: [{ server: 'fix', tool: 'echo', as: 'say' }],
          resources: [{ server: 'fix', uri: 'test://static-text' }],
        },
      },
      policy: allow({ tools: 'fix/*', resources: 'fix/*' }),
    })
    await gateway.ready()
    const toolset = `${url}/toolsets/small`
    const client = await connectV2(toolset, 'modern')
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['say'])
    expect(textOf(await client.callTool({ name: 'say', arguments: { message: 'hello' } }))).toContain('hello')
    const list = await modern(toolset, 'tools/list')
    expect(at(list, 'result', 'resultType')).toBe('complete')
    const discovered = await modern(toolset, 'server/discover')
    expect(Object.keys(Object(at(discovered, 'result', 'capabilities')))).not.toContain('prompts')
    const stream = await modernStart(toolset, 'subscriptions/listen', {
      notifications: {
        toolsListChanged: true,
        resourceSubscriptions: ['test://static-text', 'test://static-binary'],
      },
    })
    await until(() => expect(stream.messages.length).toBeGreaterThan(0))
    expect(at(stream.messages[0], 'params', 'notifications', 'resourceSubscriptions') ?? []).not.toContain(
      'test://static-binary',
    )
    stream.abort()
  })

  it('is served to the official client of the legacy era, and on stdio', async () => {
    const { toolset, gateway } = await start()
    const client = await connectV1(toolset)
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['read_ticket', 'read'])
    expect(textOf(await client.callTool({ name: 'read_ticket', arguments: {} }))).toBe('tickets:read:{}')
    expect(() => serveStdio(gateway, { toolset: 'none' })).toThrow('there is no toolset "none"')
    const [input, output] = [new PassThrough(), new PassThrough()]
    let written = ''
    output.on('data', (chunk) => (written += String(chunk)))
    const connection = serveStdio(gateway, { toolset: 'review', input, output })
    const send = (message: Json) => input.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
    const params = {
      protocolVersion: '2025-11-25',
      capabilities: {},
      clientInfo: { name: 'x', version: '1' },
    }
    send({ id: 1, method: 'initialize', params })
    send({ id: 2, method: 'tools/call', params: { name: 'read_ticket', arguments: {} } })
    input.end()
    await connection.closed
    expect(written).toContain('tickets:read:{}')
  })
})

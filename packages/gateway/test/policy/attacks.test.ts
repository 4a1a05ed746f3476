import type { GatewayInterceptor } from '@sallyport/core'
import { describe, expect, it } from 'vitest'
import { allow, createReplaceablePolicy, deny, type GatewayOptions } from '../../src/index.ts'
import { startFixture, startGateway, until } from '../flow/harness.ts'
import { at, type Json, listAt, modern, modernStart, open, RawSession } from '../flow/raw-client.ts'
import { startScriptedHttp } from '../flow/scripted-http.ts'
import { scriptedRuntime } from '../flow/scripted-runtime.ts'
import type { Script } from '../flow/scripted-server.ts'
import { as, claimed } from './callers.ts'

const accept = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

const files: Script = {
  name: 'files',
  capabilities: {
    tools: { listChanged: true },
    resources: { subscribe: true },
    prompts: {},
    completions: {},
  },
  tools: ['read', 'drop'],
  resources: [
    { uri: 'file:///data/a', name: 'a' },
    { uri: 'file:///etc/passwd', name: 'passwd' },
  ],
  on: {
    'prompts/list': () => ({ prompts: [{ name: 'ask' }, { name: 'confess' }] }),
    'prompts/get': ({ params }) => ({ messages: [], description: String(params['name']) }),
    'completion/complete': () => ({ completion: { values: ['leaked'] } }),
    'acme/call': () => ({ leaked: true }),
  },
}

const within = { '/path': { within: '/data' } }
const rules = [
  allow({ tools: 'files/read', arguments: within }),
  allow({ prompts: 'files/ask', resources: 'files/file:///data/*' }),
]

async function start(options: Partial<GatewayOptions> = {}) {
  const server = await startScriptedHttp(files)
  const running = await startGateway({ servers: { files: { url: server.url } }, policy: rules, ...options })
  await running.gateway.ready()
  return { ...running, server }
}

describe('a way past the policy is not', () => {
  it('another spelling of a name, or one that means something to JavaScript', async () => {
    const { url, at: path, server } = await start()
    const joined = await RawSession.open(url)
    const single = await RawSession.open(path('files'))
    for (const name of [
      'files__READ',
      'FILES__read',
      'files__drop',
      'files__drop_00000000',
      'files___drop',
      '__proto__',
      '__proto____read',
      'constructor__read',
      'files____proto__',
      'files__constructor',
      'drop',
      '',
    ])
      expect(at(await joined.call(name, { path: '/data' }), 'error', 'message'), name).toBe(
        `Unknown tool: ${name}`,
      )
    for (const name of [
      'READ',
      'drop',
      ' read',
      'read\u0000',
      '__proto__',
      'constructor',
      'toString',
      'files/read',
    ])
      expect(at(await single.call(name, { path: '/data' }), 'error', 'message'), name).toBe(
        `Unknown tool: ${name}`,
      )
    for (const name of [5, null, ['read'], { read: true }])
      expect(at(await single.request('tools/call', { name }), 'error', 'code')).toBe(-32602)
    expect(server.messages('tools/call')).toEqual([])
  })

  it('a second name beside the one that counts', async () => {
    const { url, at: path, server } = await start()
    for (const [to, prefix] of [
      [url, 'files__'],
      [path('files'), ''],
    ] as const) {
      const session = await RawSession.open(to)
      const argument = { name: 'x', value: '' }
      const attempts: readonly (readonly [string, Json])[] = [
        ['tools/call', { uri: 'file:///data/a', arguments: { path: '/data' } }],
        ['resources/read', { uri: 'file:///etc/passwd', name: 'file:///data/a' }],
        ['resources/subscribe', { uri: 'file:///etc/passwd', name: `${prefix}read` }],
        ['prompts/get', { name: `${prefix}confess`, uri: 'ask' }],
        [
          'completion/complete',
          { name: 'ask', ref: { type: 'ref/prompt', name: `${prefix}confess` }, argument },
        ],
        [
          'completion/complete',
          { uri: 'file:///data/a', ref: { type: 'ref/resource', uri: 'file:///etc/passwd' }, argument },
        ],
        ['completion/complete', { name: 'ask', uri: 'file:///data/a', argument }],
        ['acme/call', { name: `${prefix}read` }],
      ]
      for (const [method, params] of attempts)
        expect(at(await session.request(method, params), 'error'), JSON.stringify(params)).toBeDefined()
    }
    for (const method of [
      'tools/call',
      'resources/read',
      'resources/subscribe',
      'prompts/get',
      'completion/complete',
      'acme/call',
    ])
      expect(server.messages(method), method).toEqual([])
  })

  it('a completion where only a part is allowed', async () => {
    const { at: path, server } = await start({
      policy: [
        allow({ resources: 'files/file:///data/*' }),
        allow({ prompts: 'files/ask', arguments: { '/topic': 'x' } }),
      ],
    })
    const session = await RawSession.open(path('files'))
    const argument = { name: 'x', value: '' }
    for (const [ref, expected] of [
      [{ type: 'ref/resource', uri: 'file:///{+path}' }, 'no server has this resource'],
      [{ type: 'ref/prompt', name: 'ask' }, 'Unknown prompt: ask'],
    ] as const) {
      const answer = await session.request('completion/complete', { ref, argument })
      expect(at(answer, 'error', 'message')).toBe(expected)
    }
    expect(server.messages('completion/complete')).toEqual([])
    const got = await session.request('prompts/get', { name: 'ask', arguments: { topic: 'x' } })
    expect(at(got, 'result', 'description')).toBe('ask')
    const refused = await session.request('prompts/get', { name: 'ask', arguments: { topic: 'y' } })
    expect(at(refused, 'error', 'data', 'code')).toBe('ERR_FORBIDDEN')
  })

  it('a shared cache in front of the gateway', async () => {
    const pipe: Script = {
      name: 'pipe',
      on: {
        'server/discover': () => ({
          resultType: 'complete',
          supportedVersions: ['2026-07-28'],
          capabilities: { tools: {} },
          ttlMs: 60_000,
          cacheScope: 'public',
        }),
        'tools/list': () => ({
          resultType: 'complete',
          tools: [{ name: 'read', inputSchema: { type: 'object' } }],
          ttlMs: 60_000,
          cacheScope: 'public',
        }),
      },
    }
    const scopes = async (options: Partial<GatewayOptions>) => {
      const {
        url,
        at: path,
        gateway,
      } = await startGateway({
        servers: { pipe: { command: 'pipe' } },
        runtime: scriptedRuntime({ pipe }),
        ...options,
      })
      await gateway.ready()
      const answers = await Promise.all([url, path('pipe')].map((to) => modern(to, 'tools/list')))
      return answers.map((answer) => at(answer, 'result', 'cacheScope'))
    }
    expect(await scopes({})).toEqual(['public', 'public'])
    expect(await scopes({ policy: allow({ servers: 'pipe' }) })).toEqual(['private', 'private'])
  })

  it('an argument that two readers read in two ways', async () => {
    const { url, at: path, server } = await start()
    for (const [to, name] of [
      [url, 'files__read'],
      [path('files'), 'read'],
    ] as const) {
      const session = await RawSession.open(to)
      const post = async (args: string) => {
        const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${name}","arguments":${args}}}`
        const stream = await open(to, { headers: { ...accept, ...session.headers }, body })
        await stream.ended
        return stream.messages[0]
      }
      expect(at(await post('{"path":"/data/x"}'), 'error')).toBeUndefined()
      for (const args of [
        '{"path":"/data/x","path":"/etc/passwd"}',
        '{"path":"/etc/passwd","p\\u0061th":"/data/x"}',
        '{"path":"/data/x","more":{"a":1,"a":2}}',
        '{"path":"/data/x","Path":"/etc/passwd"}',
        '{"__proto__":{"path":"/data/x"}}',
        '{"path":["/data/x"]}',
        '{"path":"/data/../etc/passwd"}',
        '{}',
        '[]',
        '"x"',
        'null',
      ])
        expect(at(await post(args), 'error'), args).toBeDefined()
    }
    expect(server.messages('tools/call')).toHaveLength(2)
    const session = await RawSession.open(path('files'))
    const refused = await session.call('read', { path: '/etc' })
    expect(at(refused, 'error', 'message')).toBe('policy does not allow a call with these arguments: /path')
    expect(at(refused, 'error', 'data')).toEqual({ code: 'ERR_FORBIDDEN' })
  })

  it('a parameter header that says something else than the message', async () => {
    const fix = await startFixture({ era: 'modern' })
    const { at: path, gateway } = await startGateway({
      servers: { fix: { url: fix.url } },
      policy: allow({ tools: 'fix/echo', arguments: { '/message': { prefix: 'hello' } } }),
    })
    await gateway.ready()
    const call = (header: string) =>
      modern(
        path('fix'),
        'tools/call',
        { name: 'echo', arguments: { message: 'hello world' } },
        { headers: { 'mcp-param-message': header } },
      )
    expect(at(await call('hello world'), 'error')).toBeUndefined()
    expect(at(await call('=?base64?aGVsbG8gd29ybGQ=?='), 'error')).toBeUndefined()
    for (const header of ['goodbye', '=?base64?!?='])
      expect(await call(header)).toMatchObject({ status: 400, error: { code: -32020 } })
  })

  it('an interceptor that makes another call of it', async () => {
    const swap: GatewayInterceptor = {
      name: 'swap',
      request: (_context, call) => ({ ...call, params: { ...call.params, ...Object(call.params['_meta']) } }),
    }
    const { at: path, server } = await start({ interceptors: [swap] })
    const session = await RawSession.open(path('files'))
    const call = (change: Json) =>
      session.request('tools/call', { name: 'read', arguments: { path: '/data' }, _meta: change })
    expect(at(await call({}), 'error')).toBeUndefined()
    expect(at(await call({ name: 'drop' }), 'error')).toBeDefined()
    expect(at(await call({ arguments: { path: '/etc' } }), 'error', 'data', 'code')).toBe('ERR_FORBIDDEN')
    expect(server.messages('tools/call')).toHaveLength(1)
  })

  it('a batch', async () => {
    const { url, server } = await start()
    const session = await RawSession.open(url, { version: '2025-03-26' })
    const call = (id: number, name: string) => ({
      jsonrpc: '2.0',
      id,
      method: 'tools/call',
      params: { name, arguments: { path: '/data' } },
    })
    const body = JSON.stringify([call(1, 'files__drop'), call(2, 'files__read')])
    const stream = await open(url, { headers: { ...accept, ...session.headers }, body })
    await stream.ended
    const byId = new Map(stream.messages.map((message) => [message['id'], message]))
    expect(at(byId.get(1), 'error', 'message')).toBe('Unknown tool: files__drop')
    expect(at(byId.get(2), 'result')).toBeDefined()
    expect(server.messages('tools/call')).toHaveLength(1)
  })

  it('a cursor of somebody else', async () => {
    const fix = await startFixture({ era: 'modern', pageSize: 2 })
    const { url, gateway } = await startGateway({
      servers: { fix: { url: fix.url } },
      authenticate: claimed,
      limits: { pageItems: 2 },
      policy: [allow({ role: 'admin', servers: '*' }), allow({ role: 'guest', tools: 'fix/echo' })],
    })
    await gateway.ready()
    const first = await modern(url, 'tools/list', {}, as('root role:admin'))
    const cursor = at(first, 'result', 'nextCursor')
    expect(cursor).toBeTypeOf('string')
    const stolen = await modern(url, 'tools/list', { cursor }, as('eve role:guest'))
    expect(at(stolen, 'error', 'code')).toBe(-32602)
    // all pages together hold nothing that is hidden
    const names: unknown[] = []
    let next: unknown
    do {
      const page = await modern(
        url,
        'tools/list',
        next === undefined ? {} : { cursor: next },
        as('eve role:guest'),
      )
      names.push(...listAt(page, 'result', 'tools').map((tool) => at(tool, 'name')))
      next = at(page, 'result', 'nextCursor')
    } while (next !== undefined)
    expect(names).toEqual(['fix__echo'])
    // the same caller, whose rights are fewer now
    const weaker = await modern(url, 'tools/list', { cursor }, as('root'))
    expect(at(weaker, 'error', 'code')).toBe(-32602)
  })

  it('a subscription that the gateway makes again', async () => {
    const { url, at: path, server } = await start()
    for (const to of [url, path('files')]) {
      const session = await RawSession.open(to)
      await session.request('resources/subscribe', { uri: 'file:///data/a' })
      expect(
        at(await session.request('resources/subscribe', { uri: 'file:///etc/passwd' }), 'error'),
      ).toBeDefined()
      const before = server.messages('resources/subscribe').length
      server.forgetSessions()
      await session.request('resources/read', { uri: 'file:///data/a' })
      await until(() => expect(server.messages('resources/subscribe').length).toBeGreaterThan(before))
    }
    const uris = server.messages('resources/subscribe').map((message) => at(message, 'params', 'uri'))
    expect(new Set(uris)).toEqual(new Set(['file:///data/a']))
  })

  it('what a server says about eras, or that it says nothing', async () => {
    const old = await startScriptedHttp(files)
    const fix = await startFixture({ era: 'modern' })
    const { url, gateway } = await startGateway({
      servers: { fix: { url: fix.url }, old: { url: old.url }, away: { url: 'http://127.0.0.1:1/mcp' } },
      policy: allow({ tools: 'fix/*' }),
      limits: { probeMs: 500 },
    })
    await gateway.ready()
    for (const name of ['old__read', 'away__read', 'none__read']) {
      const answer = await modern(url, 'tools/call', { name, arguments: {} })
      expect(answer).toMatchObject({ status: 200, error: { code: -32602, message: `Unknown tool: ${name}` } })
    }
    const list = await modern(url, 'tools/list')
    expect(JSON.stringify(list)).not.toMatch(/old|away/)
  })

  it('a question in an answer', async () => {
    const fix = await startFixture({ era: 'modern' })
    const {
      url,
      at: path,
      gateway,
    } = await startGateway({
      servers: { fix: { url: fix.url } },
      policy: [allow({ servers: 'fix' }), deny({ asks: 'fix/sampling' })],
    })
    await gateway.ready()
    const meta = { 'io.modelcontextprotocol/clientCapabilities': { sampling: {}, elicitation: {} } }
    for (const [to, prefix] of [
      [url, 'fix__'],
      [path('fix'), ''],
    ] as const) {
      const call = (name: string) =>
        modern(
          to,
          'tools/call',
          { name: `${prefix}test_input_required_result_${name}`, arguments: {} },
          { meta },
        )
      const elicited = await call('elicitation')
      expect(at(elicited, 'result', 'resultType')).toBe('input_required')
      const sampled = await call('sampling')
      expect(at(sampled, 'error', 'data', 'asks')).toEqual(['sampling'])
    }
  })
})

describe('a question that is spelled in another way', () => {
  const question = '"a":{"method":"elicitation\\u002fcreate","params":{"message":"m","requestedSchema":{}}}'
  const asking = `"resultType":"input_required","requestState":"x"`
  it.each([
    [
      'escapes',
      `{"result\\u0054ype":"input_r\\u0065quired","inputRequ\\u0065sts":{${question}},"requestState":"x"}`,
    ],
    ['a list', `{${asking},"inputRequests":[${question.slice(4)}]}`],
    ['a member that is there twice', `{${asking},"inputRequests":{${question}},"inputRequests":{}}`],
    [
      'a question that is there twice',
      `{${asking},"inputRequests":{${question},"a":{"method":"roots/list"}}}`,
    ],
  ])('by %s is denied', async (_how, result) => {
    const on = {
      'server/discover': () => ({
        resultType: 'complete',
        supportedVersions: ['2026-07-28'],
        capabilities: { tools: {} },
        serverInfo: { name: 'm', version: '1' },
        ttlMs: 60_000,
        cacheScope: 'public',
      }),
    }
    const server = await startScriptedHttp(
      { name: 'm', on },
      {
        stateless: true,
        intercept(_request, response, message) {
          if (message?.['method'] !== 'tools/call') return false
          const id = JSON.stringify(message['id'])
          response.writeHead(200, { 'content-type': 'application/json' })
          response.end(`{"jsonrpc":"2.0","id":${id},"result":${result}}`)
          return true
        },
      },
    )
    const running = await startGateway({
      servers: { m: { url: server.url } },
      policy: [allow({ servers: 'm' }), deny({ asks: 'm/elicitation' })],
    })
    await running.gateway.ready()
    const meta = { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {}, roots: {} } }
    const answer = await modern(running.at('m'), 'tools/call', { name: 't', arguments: {} }, { meta })
    expect(at(answer, 'error', 'data', 'code')).toBe('ERR_FORBIDDEN')
  })

  it('by a list of messages is denied', async () => {
    const script: Script = { name: 'l', tools: ['t'] }
    const server = await startScriptedHttp(script, {
      intercept(_request, response, message) {
        if (message?.['method'] !== 'tools/call') return false
        const done = { jsonrpc: '2.0', id: message['id'], result: { content: [] } }
        const asked = '{"jsonrpc":"2.0","id":"q","m\\u0065thod":"elicitation\\u002fcreate","params":{}}'
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.end(`data: [${asked},${JSON.stringify(done)}]\n\n`)
        return true
      },
    })
    const running = await startGateway({
      servers: { l: { url: server.url } },
      policy: [allow({ servers: 'l' }), deny({ asks: 'l/elicitation' })],
    })
    await running.gateway.ready()
    const session = await RawSession.open(running.at('l'), { capabilities: { elicitation: {} } })
    expect((await session.call('t'))['result']).toEqual({ content: [] })
    expect(JSON.stringify(session.received)).not.toContain('elicitation')
    const turnedBack = () =>
      server.received.some(({ message }) => message?.['id'] === 'q' && 'error' in message)
    await until(() => expect(turnedBack()).toBe(true))
  })
})

describe('a policy that is replaced', () => {
  it('counts from the next request on, in all lists, and clients are told', async () => {
    const current = createReplaceablePolicy(allow({ servers: 'files' }))
    const { url, at: path } = await start({ policy: current })
    const joined = await RawSession.open(url)
    const single = await RawSession.open(path('files'))
    await joined.listen()
    const namesIn = async (session: RawSession) =>
      listAt(await session.request('tools/list'), 'result', 'tools').map((tool) => at(tool, 'name'))
    expect(await namesIn(joined)).toEqual(['files__read', 'files__drop'])
    expect(await namesIn(single)).toEqual(['read', 'drop'])
    current.replace(rules)
    expect(await namesIn(joined)).toEqual(['files__read'])
    expect(await namesIn(single)).toEqual(['read'])
    expect(at(await single.call('drop'), 'error', 'message')).toBe('Unknown tool: drop')
    await until(() =>
      expect(joined.received.map((message) => message['method'])).toContain(
        'notifications/tools/list_changed',
      ),
    )
  })

  it('ends subscriptions of the modern era, so that they begin again', async () => {
    const fix = await startFixture({ era: 'modern' })
    const current = createReplaceablePolicy(allow({ servers: 'fix' }))
    const {
      url,
      at: path,
      gateway,
    } = await startGateway({ servers: { fix: { url: fix.url } }, policy: current })
    await gateway.ready()
    const streams = await Promise.all(
      [url, path('fix')].map((to) =>
        modernStart(to, 'subscriptions/listen', { notifications: { toolsListChanged: true } }),
      ),
    )
    for (const stream of streams) await until(() => expect(stream.messages.length).toBeGreaterThan(0))
    current.replace(allow({ tools: 'fix/echo' }))
    for (const stream of streams) {
      await stream.ended
      expect(at(stream.messages.at(-1), 'result', 'resultType')).toBe('complete')
    }
  })
})

import type { Policy } from '@sallyport/core'
import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { describe, expect, it } from 'vitest'
import { allow, deny, type GatewayOptions } from '../../src/index.ts'
import { startFixture, startGateway, until } from '../flow/harness.ts'
import { at, type Json, listAt, modern, modernStart, RawSession } from '../flow/raw-client.ts'
import { startScriptedHttp } from '../flow/scripted-http.ts'
import { RpcFailure, type Script, text } from '../flow/scripted-server.ts'
import { as, claimed } from './callers.ts'

const files: Script = {
  name: 'files',
  instructions: 'how to use files',
  capabilities: { tools: {}, resources: { subscribe: true }, prompts: {}, completions: {} },
  tools: ['read', 'write', 'drop'],
  resources: [
    { uri: 'file:///data/a', name: 'a' },
    { uri: 'file:///etc/passwd', name: 'passwd' },
  ],
  templates: [
    { uriTemplate: 'file:///data/{name}', name: 'data' },
    { uriTemplate: 'secret:///{name}', name: 'secrets' },
  ],
  on: {
    'prompts/list': () => ({ prompts: [{ name: 'ask' }, { name: 'confess' }] }),
    'prompts/get': ({ params }) => ({ messages: [], description: String(params['name']) }),
    'completion/complete': ({ params }) => ({ completion: { values: [JSON.stringify(params['ref'])] } }),
    'acme/do': () => ({ done: true }),
    'tasks/get': () => ({ taskId: '1', status: 'working' }),
  },
}
const hidden: Script = { ...files, name: 'hidden', instructions: 'a secret' }

const engineer = as('ada role:engineer')
const policy = [
  allow({
    name: 'engineers',
    role: 'engineer',
    tools: ['files/*'],
    prompts: 'files/ask',
    resources: 'files/file:///data/*',
  }),
  deny({ name: 'no drop', tools: '*/drop' }),
  allow({ name: 'writers', scope: ['files:write', 'files:read'], tools: 'hidden/write' }),
]

async function start(options: Partial<GatewayOptions> = {}) {
  const server = await startScriptedHttp(files)
  const secret = await startScriptedHttp(hidden)
  const gateway = await startGateway({
    servers: { files: { url: server.url }, hidden: { url: secret.url } },
    authenticate: claimed,
    policy,
    ...options,
  })
  await gateway.gateway.ready()
  return { ...gateway, server, secret }
}

/** A way to send requests, in one era and to one kind of endpoint. */
interface Caller {
  readonly prefix: string
  request(method: string, params?: Json): Promise<Json>
}

function namesOf(answer: Json, kind: string, member = 'name'): readonly unknown[] {
  return listAt(answer, 'result', kind).map((each) => at(each, member))
}

async function legacyCallers(): Promise<
  readonly (readonly [string, Caller, Awaited<ReturnType<typeof start>>])[]
> {
  const running = await start()
  const joined = await RawSession.open(running.url, engineer)
  const single = await RawSession.open(running.at('files'), engineer)
  return [
    [
      'aggregated',
      { prefix: 'files__', request: (method, params) => joined.request(method, params) },
      running,
    ],
    ['single', { prefix: '', request: (method, params) => single.request(method, params) }, running],
  ]
}

describe('policy, legacy era', () => {
  it('leaves out of lists what is denied, and asks nothing of servers that nothing is allowed on', async () => {
    for (const [, { prefix, request }, { secret }] of await legacyCallers()) {
      expect(namesOf(await request('tools/list'), 'tools')).toEqual([`${prefix}read`, `${prefix}write`])
      expect(namesOf(await request('prompts/list'), 'prompts')).toEqual([`${prefix}ask`])
      expect(namesOf(await request('resources/list'), 'resources', 'uri')).toEqual(['file:///data/a'])
      const templates = await request('resources/templates/list')
      expect(namesOf(templates, 'resourceTemplates', 'uriTemplate')).toEqual(['file:///data/{name}'])
      expect(secret.messages('tools/list')).toEqual([])
    }
  })

  it('refuses what is denied in the words for what is not there, and the server hears nothing of it', async () => {
    for (const [, { prefix, request }, { server }] of await legacyCallers()) {
      const refused = async (method: string, params: Json) => {
        const before = server.messages(method).length
        const { error } = await request(method, params)
        expect(server.messages(method).length, `${method} reached the server`).toBe(before)
        return error
      }
      for (const tool of ['drop']) {
        const name = `${prefix}${tool}`
        expect(await refused('tools/call', { name, arguments: {} })).toEqual({
          code: -32602,
          message: `Unknown tool: ${name}`,
        })
      }
      const name = `${prefix}confess`
      const unknownPrompt = { code: -32602, message: `Unknown prompt: ${name}` }
      expect(await refused('prompts/get', { name })).toEqual(unknownPrompt)
      const argument = { name: 'x', value: '' }
      const ref = { type: 'ref/prompt', name }
      expect(await refused('completion/complete', { ref, argument })).toEqual(unknownPrompt)
      const uri = 'file:///etc/passwd'
      const notFound = { code: -32002, message: 'Resource not found', data: { uri } }
      expect(await refused('resources/read', { uri })).toEqual(notFound)
      expect(await refused('resources/subscribe', { uri })).toEqual(notFound)
      const template = 'secret:///{name}'
      expect(
        await refused('completion/complete', { ref: { type: 'ref/resource', uri: template }, argument }),
      ).toEqual({ code: -32602, message: 'no server has this resource', data: { uri: template } })
    }
  })

  it('lets through what is allowed', async () => {
    for (const [, { prefix, request }] of await legacyCallers()) {
      expect(at(await request('tools/call', { name: `${prefix}read` }), 'result', 'content', 0, 'text')).toBe(
        'files:read:null',
      )
      expect(at(await request('prompts/get', { name: `${prefix}ask` }), 'result', 'description')).toBe('ask')
      const argument = { name: 'x', value: '' }
      const completed = await request('completion/complete', {
        ref: { type: 'ref/prompt', name: `${prefix}ask` },
        argument,
      })
      expect(at(completed, 'result', 'completion', 'values', 0)).toContain('"name":"ask"')
      const read = await request('resources/read', { uri: 'file:///data/a' })
      expect(at(read, 'result', 'contents', 0, 'text')).toBe('files read file:///data/a')
      const values = await request('completion/complete', {
        ref: { type: 'ref/resource', uri: 'file:///data/{name}' },
        argument,
      })
      expect(at(values, 'error')).toBeUndefined()
    }
  })

  it('shows the instructions of visible servers only, and no endpoint of a hidden one', async () => {
    const running = await start()
    const { initialized } = await RawSession.open(running.url, engineer)
    expect(at(initialized, 'result', 'instructions')).toBe('# files\n\nhow to use files')
    await expect(RawSession.open(running.at('hidden'), engineer)).rejects.toThrow('HTTP 403')
    const without = await start({ policy: policy.slice(0, 2) })
    await expect(RawSession.open(without.at('hidden'), engineer)).rejects.toThrow('HTTP 404')
    const nobody = await RawSession.open(running.url, as('eve'))
    expect(at(nobody.initialized, 'result', 'instructions')).toBeUndefined()
    expect(namesOf(await nobody.request('tools/list'), 'tools')).toEqual([])
  })

  it('denies methods that no revision of MCP knows, and tasks, unless a rule allows them', async () => {
    const running = await start()
    const session = await RawSession.open(running.at('files'), engineer)
    for (const [method, params] of [
      ['acme/do', { name: 'read' }],
      ['tasks/get', { taskId: '1' }],
      ['tools/Call', { name: 'read' }],
    ] as const) {
      const answer = await session.request(method, params)
      expect(answer['error']).toEqual({ code: -32601, message: `Method not found: ${method}` })
    }
    const joined = await RawSession.open(running.url, engineer)
    const answer = await joined.request('acme/do', { name: 'files__read' })
    expect(at(answer, 'error', 'code')).toBe(-32601)
    const open = await start({
      policy: allow({ role: 'engineer', methods: ['files/acme/*', 'files/tasks/get'] }),
    })
    const allowed = await RawSession.open(open.at('files'), engineer)
    expect(at(await allowed.request('acme/do'), 'result', 'done')).toBe(true)
    expect(at(await allowed.request('tasks/get', { taskId: '1' }), 'result', 'status')).toBe('working')
  })

  it('asks for scopes where they are all that is missing, so that the client can step up', async () => {
    const running = await start()
    const session = await RawSession.open(running.url, as('ada role:engineer scope:files:read'))
    const call = await session.start('tools/call', { name: 'hidden__write', arguments: {} })
    await call.ended
    expect(call.status).toBe(403)
    expect(call.headers.get('www-authenticate')).toBe(
      'Bearer error="insufficient_scope", error_description="the token lacks a scope", scope="files:write", ' +
        `resource_metadata="${new URL(running.url).origin}/.well-known/oauth-protected-resource/mcp"`,
    )
    expect(at(call.messages[0], 'error', 'data')).toEqual({ code: 'ERR_FORBIDDEN', scopes: ['files:write'] })
    // the same session with a better token
    const stronger = new RawSession(
      running.url,
      { ...as('ada role:engineer scope:files:read scope:files:write').headers, 'mcp-session-id': session.id },
      {},
    )
    const done = await stronger.call('hidden__write')
    expect(at(done, 'result', 'content', 0, 'text')).toBe('hidden:write:{}')
    expect(namesOf(await stronger.request('tools/list'), 'tools')).toContain('hidden__write')
    // and back again: what counts is the token of the call
    expect(namesOf(await session.request('tools/list'), 'tools')).not.toContain('hidden__write')
  })

  it('shows what scopes would open if a rule says so', async () => {
    const running = await start({
      policy: allow({ scope: 'w', tools: 'files/write', advertise: true }),
    })
    const session = await RawSession.open(running.url, as('ada'))
    expect(namesOf(await session.request('tools/list'), 'tools')).toEqual(['files__write'])
    const call = await session.start('tools/call', { name: 'files__write' })
    await call.ended
    expect(call.status).toBe(403)
  })

  it('records what it refuses, with server and target', async () => {
    const audit = createMemoryAuditRecorder()
    const running = await start({ audit })
    const session = await RawSession.open(running.url, engineer)
    await session.call('files__drop')
    const entry = audit.entries().find(({ intent }) => intent.method === 'tools/call')
    expect(entry?.intent).toMatchObject({ server: 'files', target: 'drop' })
    expect(entry?.outcome).toMatchObject({ status: 'refused', code: 'ERR_FORBIDDEN' })
  })

  it('keeps servers from asking what they may not ask', async () => {
    const asking: Script = {
      name: 'asking',
      tools: ['ask'],
      call: async ({ ask }) => text(JSON.stringify(await ask('sampling/createMessage', { messages: [] }))),
    }
    const server = await startScriptedHttp(asking)
    for (const [rule, expected] of [
      [deny({ asks: 'asking/sampling' }), '"code":-32601'],
      [deny({ asks: 'asking/elicitation' }), '"model":"m"'],
    ] as const) {
      const audit = createMemoryAuditRecorder()
      const running = await startGateway({
        servers: { asking: { url: server.url } },
        policy: [allow({ tools: 'asking/*' }), rule],
        audit,
      })
      await running.gateway.ready()
      const session = await RawSession.open(running.url, { capabilities: { sampling: {} } })
      session.onRequest = () => ({ result: { model: 'm' } })
      expect(at(await session.call('asking__ask'), 'result', 'content', 0, 'text')).toContain(expected)
      const asked = audit.entries().find(({ intent }) => intent.method === 'sampling/createMessage')
      expect(asked?.outcome?.status).toBe(expected.includes('model') ? 'ok' : 'refused')
    }
  })

  it('keeps servers from sending the client to a page, which is a question too', async () => {
    const sending: Script = {
      name: 'sending',
      tools: ['open'],
      call() {
        const elicitations = [{ mode: 'url', url: 'https://evil.example', elicitationId: 'e', message: 'm' }]
        throw new RpcFailure(-32042, 'Open the page', { elicitations })
      },
    }
    const server = await startScriptedHttp(sending)
    for (const [rule, expected] of [
      [deny({ asks: 'sending/elicitation' }), { code: -32600, data: { asks: ['elicitation'] } }],
      [deny({ asks: 'sending/sampling' }), { code: -32042 }],
    ] as const) {
      const running = await startGateway({
        servers: { sending: { url: server.url } },
        policy: [allow({ tools: 'sending/*' }), rule],
      })
      await running.gateway.ready()
      for (const [to, name] of [
        [running.url, 'sending__open'],
        [running.at('sending'), 'open'],
      ] as const) {
        const session = await RawSession.open(to, { capabilities: { elicitation: { url: {} } } })
        expect((await session.call(name))['error']).toMatchObject(expected)
      }
    }
  })

  it('keeps updates of resources that may not be read from the client', async () => {
    const running = await start()
    const session = await RawSession.open(running.at('files'), engineer)
    const stream = await session.listen()
    await session.request('resources/subscribe', { uri: 'file:///data/a' })
    await until(() => {
      expect([...running.server.links.values()].some((link) => link.streams.size > 0)).toBe(true)
    })
    for (const link of running.server.links.values()) {
      for (const uri of ['file:///etc/passwd', 'file:///data/a'])
        link.push({ jsonrpc: '2.0', method: 'notifications/resources/updated', params: { uri } })
    }
    await until(() => expect(session.received.length).toBeGreaterThan(0))
    expect(session.received.map((message) => at(message, 'params', 'uri'))).toEqual(['file:///data/a'])
    stream.abort()
  })
})

describe('policy, modern era', () => {
  const rules = [
    allow({
      role: 'engineer',
      tools: ['fix/echo', 'fix/add*'],
      prompts: 'fix/*',
      resources: 'fix/test://static/*',
    }),
    allow({ scope: 'all', servers: 'fix' }),
  ]

  async function startModern(options: Partial<GatewayOptions> = {}) {
    const fix = await startFixture({ era: 'modern' })
    const secret = await startFixture({ era: 'modern' })
    const running = await startGateway({
      servers: { fix: { url: fix.url }, secret: { url: secret.url } },
      authenticate: claimed,
      policy: rules,
      ...options,
    })
    await running.gateway.ready()
    return running
  }

  it('shows in lists exactly what calls are let through, on both kinds of endpoint', async () => {
    const running = await startModern()
    for (const [url, prefix] of [
      [running.url, 'fix__'],
      [running.at('fix'), ''],
    ] as const) {
      const all = namesOf(await modern(url, 'tools/list', {}, as('root scope:all')), 'tools')
      const list = await modern(url, 'tools/list', {}, engineer)
      const shown = namesOf(list, 'tools')
      expect(shown.length).toBeGreaterThan(0)
      expect(all.length).toBeGreaterThan(shown.length)
      expect(at(list, 'result', 'cacheScope')).toBe('private')
      for (const name of all) {
        const call = await modern(url, 'tools/call', { name, arguments: {} }, engineer)
        const refused = call.status === 403
        expect(refused, String(name)).toBe(!shown.includes(name))
      }
      const resources = await modern(url, 'resources/list', {}, engineer)
      for (const uri of namesOf(resources, 'resources', 'uri')) expect(uri).toMatch(/^test:\/\/static\//)
      const denied = await modern(url, 'tools/call', { name: `${prefix}nothing` }, as('eve'))
      expect(denied.status).toBe(403)
    }
  })

  it('hides a server with all that it says of itself', async () => {
    const running = await startModern()
    const answer = await modern(running.at('secret'), 'server/discover', {}, engineer)
    expect(answer.status).toBe(404)
    expect(at(answer, 'error', 'message')).toBe('no such endpoint')
    const call = await modern(running.url, 'tools/call', { name: 'secret__echo', arguments: {} }, engineer)
    expect(at(call, 'error', 'message')).toBe('Unknown tool: secret__echo')
  })

  it('leaves out of a subscription the resources that may not be read', async () => {
    const running = await startModern({
      policy: allow({ role: 'engineer', resources: 'fix/test://static-text' }),
    })
    const notifications = { resourceSubscriptions: ['test://static-text', 'test://static-binary'] }
    for (const url of [running.url, running.at('fix')]) {
      const stream = await modernStart(url, 'subscriptions/listen', { notifications }, engineer)
      await until(() => expect(stream.messages.length).toBeGreaterThan(0))
      const [first] = stream.messages
      expect(first?.['method']).toBe('notifications/subscriptions/acknowledged')
      expect(at(first, 'params', 'notifications', 'resourceSubscriptions') ?? []).not.toContain(
        'test://static-binary',
      )
      stream.abort()
    }
  })
})

describe('policy, subscriptions of the modern era', () => {
  const updated = (uri: string, meta: Json = {}): Json => ({
    jsonrpc: '2.0',
    method: 'notifications/resources/updated',
    params: { uri, ...meta },
  })
  const subscriptionId = 'io.modelcontextprotocol/subscriptionId'
  const speaking: Script = {
    name: 'files',
    on: {
      'server/discover': () => ({
        resultType: 'complete',
        supportedVersions: ['2026-07-28'],
        capabilities: { resources: { subscribe: true } },
      }),
      'subscriptions/listen': ({ params, message, send, silence }) => {
        const _meta = { [subscriptionId]: message['id'] }
        const { notifications } = params
        const method = 'notifications/subscriptions/acknowledged'
        send({ jsonrpc: '2.0', method, params: { notifications, _meta } })
        for (const uri of ['file:///data/secret/x', 'file:///data/b']) send(updated(uri, { _meta }))
        return silence()
      },
    },
  }
  const watched = 'file:///data/'
  const rules = [allow({ servers: '*' }), deny({ resources: '*/file:///data/secret/*' })]
  const slow: Policy = {
    async decide(_principal, { name }) {
      await new Promise((resolve) => setImmediate(resolve))
      return { effect: name.includes('secret') ? 'deny' : 'allow' }
    },
  }

  it.each([
    ['modern', rules],
    ['legacy', rules],
    ['modern', slow],
  ] as const)('tell nothing of resources that may not be read: %s server', async (era, policy) => {
    const audit = createMemoryAuditRecorder()
    const server = await startScriptedHttp(era === 'modern' ? speaking : files, {
      stateless: era === 'modern',
    })
    const running = await startGateway({
      servers: { files: { url: server.url } },
      authenticate: claimed,
      policy,
      audit,
    })
    await running.gateway.ready()
    const notifications = { resourceSubscriptions: [watched] }
    for (const url of [running.url, running.at('files')]) {
      const stream = await modernStart(url, 'subscriptions/listen', { notifications }, engineer)
      await until(() => expect(stream.messages.length).toBeGreaterThan(0))
      if (era === 'legacy') {
        const link = await until(() => {
          const open = [...server.links.values()].find(({ streams }) => streams.size > 0)
          if (open === undefined) throw new Error('nobody listens')
          return open
        })
        for (const uri of ['file:///data/secret/x', 'file:///data/b']) link.push(updated(uri))
      }
      await until(() => expect(stream.messages.length).toBe(2))
      expect(at(stream.messages[1], 'params', 'uri')).toBe('file:///data/b')
      const told = audit.entries().filter(({ intent }) => intent.method?.endsWith('/updated'))
      expect(told.slice(-2).map(({ outcome }) => outcome?.status)).toEqual(['refused', 'ok'])
      stream.abort()
    }
  })
})

describe('a policy of your own', () => {
  it('may take its time, and refuses when it fails', async () => {
    const slow: Policy = {
      async decide(_principal, { kind, name }) {
        await new Promise((resolve) => setImmediate(resolve))
        if (name === 'write') throw new Error('the directory is down')
        return { effect: kind === 'server' || name === 'read' ? 'allow' : 'deny' }
      },
    }
    const running = await start({ policy: slow })
    for (const [url, prefix] of [
      [running.url, 'files__'],
      [running.at('files'), ''],
    ] as const) {
      const session = await RawSession.open(url, as('ada'))
      expect(namesOf(await session.request('tools/list'), 'tools')).toContain(`${prefix}read`)
      expect(namesOf(await session.request('tools/list'), 'tools')).not.toContain(`${prefix}write`)
      expect(at(await session.call(`${prefix}read`), 'result', 'content', 0, 'text')).toBe('files:read:{}')
      expect(at(await session.call(`${prefix}drop`), 'error', 'message')).toBe(`Unknown tool: ${prefix}drop`)
      expect(at(await session.call(`${prefix}write`), 'error', 'message')).toBe('the policy could not decide')
    }
    expect(running.log.join('\n')).toContain('the directory is down')
  })

  it('narrows what rules allow', async () => {
    const weekdays: Policy = {
      decide: (_principal, { name }) => ({ effect: name === 'write' ? 'deny' : 'allow', volatile: true }),
    }
    const running = await start({ policy: [...policy, weekdays] })
    const session = await RawSession.open(running.url, engineer)
    expect(namesOf(await session.request('tools/list'), 'tools')).toEqual(['files__read'])
  })
})

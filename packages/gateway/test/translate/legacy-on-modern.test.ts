import { describe, expect, it } from 'vitest'
import { until } from '../flow/harness.ts'
import { at, listAt, RawSession } from '../flow/raw-client.ts'
import { RpcFailure, text } from '../flow/scripted-server.ts'
import { behindGateway, complete, modernScript, tool, type Transport } from './modern-server.ts'

const meta = 'io.modelcontextprotocol/'

describe.each<Transport>(['http', 'stdio'])('a legacy client of a modern server over %s', (transport) => {
  it('gets an answer to initialize that is made of what the server says of itself', async () => {
    const server = await behindGateway(
      transport,
      modernScript({
        capabilities: {
          tools: { listChanged: true },
          logging: {},
          tasks: { list: {} },
          extensions: { 'io.modelcontextprotocol/tasks': {}, 'com.example/x': { a: 1 } },
          experimental: { y: {} },
        },
      }),
    )
    const session = await RawSession.open(server.path, { version: '2025-06-18' })
    expect(at(session.initialized, 'result')).toEqual({
      protocolVersion: '2025-06-18',
      capabilities: {
        tools: { listChanged: true },
        logging: {},
        extensions: { 'com.example/x': { a: 1 } },
        experimental: { y: {} },
      },
      serverInfo: { name: 'modern', version: '7' },
      instructions: 'be kind',
    })
    expect(await session.request('ping')).toMatchObject({ result: {} })
    await session.notify('notifications/roots/list_changed')
    expect([...server.messages('ping'), ...server.messages('notifications/roots/list_changed')]).toEqual([])
    expect(server.messages('notifications/initialized')).toEqual([])
  })

  it('is introduced to the server with every request, and what the client wrote stays', async () => {
    const server = await behindGateway(
      transport,
      modernScript({ tools: [tool('t')], call: () => complete(text('done')) }),
    )
    const session = await RawSession.open(server.path, {
      capabilities: {
        sampling: {},
        roots: { listChanged: true },
        tasks: { cancel: {} },
        experimental: { e: {} },
      },
    })
    await session.request(
      'tools/call',
      {
        name: 't',
        arguments: { ü: 'ß' },
        unknown: 1,
        task: { ttl: 1 },
        inputResponses: { a: {} },
        requestState: 'forged',
        _meta: { progressToken: 'tok', 'com.example/kept': true, [`${meta}logLevel`]: 'debug' },
      },
      'id-1',
    )
    const [sent] = server.messages('tools/call')
    expect(at(sent, 'params')).toEqual({
      name: 't',
      arguments: { ü: 'ß' },
      unknown: 1,
      _meta: {
        progressToken: transport === 'http' ? 'tok' : expect.any(Number),
        'com.example/kept': true,
        [`${meta}protocolVersion`]: '2026-07-28',
        [`${meta}clientInfo`]: { name: 'raw', version: '1' },
        [`${meta}clientCapabilities`]: { sampling: {}, roots: {}, experimental: { e: {} } },
      },
    })
    if (transport === 'http') {
      expect(server.headers('tools/call')[0]).toMatchObject({
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': 'tools/call',
        'mcp-name': 't',
      })
    }
  })

  it('calls methods without params as well, on the aggregated endpoint too', async () => {
    const server = await behindGateway(
      transport,
      modernScript({
        tools: [tool('t')],
        on: {
          'com.example/plain': ({ params }) => complete({ keys: Object.keys(params) }),
          'completion/complete': ({ params }) =>
            complete({ completion: { values: [at(params, 'ref', 'name')] } }),
          'prompts/list': () => complete({ prompts: [{ name: 'p' }] }),
        },
        call: ({ params }) => complete(text(String(params['name']))),
      }),
    )
    const single = await RawSession.open(server.path)
    const stream = await single.post({ jsonrpc: '2.0', id: 9, method: 'com.example/plain' })
    await stream.ended
    expect(stream.messages).toEqual([{ jsonrpc: '2.0', id: 9, result: { keys: ['_meta'] } }])
    const all = await RawSession.open(server.url)
    expect(listAt(await all.request('tools/list'), 'result', 'tools')).toEqual([tool('s__t')])
    expect(at(await all.call('s__t'), 'result', 'content', 0, 'text')).toBe('t')
    const completion = await all.request('completion/complete', {
      ref: { type: 'ref/prompt', name: 's__p' },
      argument: { name: 'a', value: '' },
    })
    expect(at(completion, 'result', 'completion', 'values')).toEqual(['p'])
  })

  it('sees results without what is new in them, and nothing else changes', async () => {
    const body =
      '{"resultType":"complete","ttlMs":0, "contents":[{"uri":"a:b","text":"\\u00e4ö","n":1.50}],"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"x","version":"1"},"com.example/k":1e2},"more":[1.0]}'
    const server = await behindGateway(
      transport,
      modernScript({
        on: {
          'resources/read': ({ params }) =>
            params['uri'] === 'a:b'
              ? JSON.parse(body)
              : complete({ _meta: { [`${meta}serverInfo`]: {} }, contents: [] }),
        },
      }),
    )
    const session = await RawSession.open(server.path)
    expect(at(await session.request('resources/read', { uri: 'a:b' }), 'result')).toEqual({
      contents: [{ uri: 'a:b', text: 'äö', n: 1.5 }],
      _meta: { 'com.example/k': 100 },
      more: [1],
    })
    expect(at(await session.request('resources/read', { uri: 'c:d' }), 'result')).toEqual({ contents: [] })
  })

  it('gets structured values of every kind as objects, described by the schemas that it was shown', async () => {
    const values: Readonly<Record<string, unknown>> = {
      list: [1, { a: 2 }],
      either: { a: 1 },
      nothing: null,
      object: { b: 2 },
      unlisted: 'text',
    }
    const list = { type: 'array', items: { $ref: '#/$defs/it' }, $defs: { it: { type: 'object' } } }
    const server = await behindGateway(
      transport,
      modernScript({
        tools: [
          tool('list', {
            outputSchema: { $schema: 'https://json-schema.org/draft/2020-12/schema', ...list },
          }),
          tool('either', {
            outputSchema: { anyOf: [{ type: 'object' }, { $ref: '#' }, { const: { $ref: '#' } }] },
          }),
          tool('object', { outputSchema: { type: 'object' } }),
        ],
        call: (_turn, name) => complete({ ...text('t'), structuredContent: values[name] }),
      }),
    )
    const session = await RawSession.open(server.path)
    const tools = listAt(await session.request('tools/list'), 'result', 'tools')
    expect(tools.map((it) => at(it, 'outputSchema'))).toEqual([
      {
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        type: 'object',
        required: ['result'],
        properties: {
          result: {
            $schema: 'https://json-schema.org/draft/2020-12/schema',
            ...list,
            items: { $ref: '#/properties/result/$defs/it' },
          },
        },
      },
      {
        type: 'object',
        required: ['result'],
        properties: {
          result: {
            anyOf: [{ type: 'object' }, { $ref: '#/properties/result' }, { const: { $ref: '#' } }],
          },
        },
      },
      { type: 'object' },
    ])
    for (const [name, value] of Object.entries(values)) {
      const answer = await session.call(name)
      const expected = name === 'object' ? value : { result: value }
      expect(at(answer, 'result'), name).toEqual({ ...text('t'), structuredContent: expected })
    }
  })

  it('hears of progress, and of the log from the level that it set', async () => {
    const server = await behindGateway(
      transport,
      modernScript({
        tools: [tool('t')],
        call({ send, params }) {
          const progressToken = at(params, '_meta', 'progressToken')
          if (progressToken !== undefined)
            send({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken, progress: 1 } })
          for (const level of ['info', 'warning', 'error'])
            send({ jsonrpc: '2.0', method: 'notifications/message', params: { level, data: level } })
          return complete(text(String(at(params, '_meta', `${meta}logLevel`))))
        },
      }),
    )
    const session = await RawSession.open(server.path)
    const first = await session.start('tools/call', { name: 't', _meta: { progressToken: 'p' } }, 1)
    await first.ended
    expect(first.messages).toMatchObject([
      { method: 'notifications/progress', params: { progressToken: 'p', progress: 1 } },
      { id: 1, result: text('undefined') },
    ])
    expect(at(await session.request('logging/setLevel', { level: 'loud' }), 'error', 'code')).toBe(-32602)
    expect(await session.request('logging/setLevel', { level: 'warning' })).toMatchObject({ result: {} })
    const second = await session.start('tools/call', { name: 't' }, 2)
    await second.ended
    expect(
      second.messages.map((it) => at(it, 'params', 'level') ?? at(it, 'result', 'content', 0, 'text')),
    ).toEqual(['warning', 'error', 'warning'])
    expect(server.messages('logging/setLevel')).toEqual([])
  })

  it('hears the log of all its open calls, and never that of another session', async () => {
    const waiting: (() => void)[] = []
    const server = await behindGateway(
      transport,
      modernScript({
        tools: [tool('t')],
        async call({ send, params }) {
          const said = at(params, 'arguments', 'say')
          await new Promise<void>((resolve) => waiting.push(resolve))
          if (at(params, '_meta', `${meta}logLevel`) !== undefined)
            send({ jsonrpc: '2.0', method: 'notifications/message', params: { level: 'error', data: said } })
          return complete(text(String(said)))
        },
      }),
    )
    const session = await RawSession.open(server.path)
    const other = await RawSession.open(server.path)
    await session.request('logging/setLevel', { level: 'error' })
    const calls = [
      session.call('t', { say: 'a' }),
      session.call('t', { say: 'b' }),
      other.call('t', { say: 'c' }),
    ]
    await until(() => expect(waiting.length).toBe(3))
    for (const go of waiting) go()
    await Promise.all(calls)
    const logged = session.received.map(({ params }) => at(params, 'data'))
    expect(logged.sort()).toEqual(['a', 'b'])
    expect(other.received).toEqual([])
    await other.request('logging/setLevel', { level: 'error' })
    waiting.length = 0
    const more = [session.call('t', { say: 'd' }), other.call('t', { say: 'e' })]
    await until(() => expect(waiting.length).toBe(2))
    for (const go of waiting) go()
    await Promise.all(more)
    // over stdio a log message names no call: where it may be for either, nobody gets it
    const heard = (from: RawSession, data: string) =>
      from.received.some(({ params }) => at(params, 'data') === data)
    const isHeard = transport === 'http'
    expect([heard(session, 'd'), heard(other, 'e')]).toEqual([isHeard, isHeard])
  })

  it.each([
    [-32602, 'Resource not found', { uri: 'a:b' }, -32002],
    [-32602, 'the cursor is bad', undefined, -32602],
    [-32021, 'needs sampling', { requiredCapabilities: { sampling: {} } }, -32600],
    [-32020, 'Header mismatch', undefined, -32603],
    [-32000, 'something of its own', [1], -32000],
  ])('understands the error %i %s', async (code, message, data, shown) => {
    const server = await behindGateway(
      transport,
      modernScript({
        on: {
          'resources/read': () => {
            throw new RpcFailure(code, message, data)
          },
        },
      }),
    )
    const session = await RawSession.open(server.path)
    const answer = await session.request('resources/read', { uri: 'a:b' }, 'r')
    expect(answer).toMatchObject({ id: 'r', error: { code: shown, message } })
    const original = shown === code || code === -32602 ? data : { ...Object(data), upstreamCode: code }
    expect(at(answer, 'error', 'data')).toEqual(original)
  })

  it('is told what cannot be translated', async () => {
    const server = await behindGateway(
      transport,
      modernScript({
        tools: [tool('task')],
        call: () => ({ resultType: 'task', taskId: 'x' }),
        on: { 'prompts/list': () => ({ resultType: 'input_required', requestState: 's' }) },
      }),
    )
    const session = await RawSession.open(server.path)
    const task = await session.call('task')
    expect(at(task, 'error', 'data', 'code')).toBe('ERR_UPSTREAM_PROTOCOL')
    expect(at(task, 'error', 'message')).toContain('"task"')
    expect(at(await session.request('prompts/list'), 'error', 'message')).toContain('asked for input')
    for (const method of ['tasks/get', 'server/discover', 'subscriptions/listen'])
      expect(at(await session.request(method, { taskId: 'x' }), 'error', 'code')).toBe(-32601)
    expect(server.messages('tasks/get')).toEqual([])
  })

  it('is not harmed by what is nested deeper than a stack goes', async () => {
    let deep: unknown = 1
    for (let depth = 0; depth < 4_000; depth++) deep = { $ref: '#', items: deep }
    const server = await behindGateway(
      transport,
      modernScript({
        tools: [tool('t', { outputSchema: deep })],
        call: (_turn, name) => {
          if (name === 'error') throw new RpcFailure(-32021, 'no', { deep })
          return name === 'ask'
            ? { resultType: 'input_required', inputRequests: { q: deep } }
            : complete({ deep })
        },
      }),
    )
    const session = await RawSession.open(server.path, { capabilities: { sampling: {} } })
    for (const name of ['error', 'ask'])
      expect(at(await session.call(name), 'error', 'message'), name).toContain('nested too deep')
    expect(at(await session.request('tools/list'), 'error', 'message')).toContain('nested too deep')
    expect(at(await session.call('fine'), 'result', 'deep', 'items', 'items', '$ref')).toBe('#')
  })

  it('can cancel a call; hanging up is no cancellation', async () => {
    const server = await behindGateway(
      transport,
      modernScript({
        tools: [tool('hang')],
        call({ send, silence, params }) {
          const progressToken = at(params, '_meta', 'progressToken')
          send({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken, progress: 1 } })
          return silence()
        },
      }),
    )
    const session = await RawSession.open(server.path)
    const hang = (id: string) =>
      session.start('tools/call', { name: 'hang', _meta: { progressToken: id } }, id)
    const dropped = await hang('dropped')
    dropped.abort()
    const stream = await hang('c')
    expect(server.cancelled()).toEqual([])
    await session.notify('notifications/cancelled', { requestId: 'c', reason: 'never mind' })
    await until(() => expect(server.cancelled()).toEqual([server.messages('tools/call')[1]?.['id']]))
    await stream.ended
    expect(stream.messages.map(({ method }) => method)).toEqual(['notifications/progress'])
    await session.end()
    await until(() => expect(server.cancelled().length).toBe(2))
  })
})

describe('parameters that a modern server wants in headers', () => {
  const annotated = tool('deploy', {
    inputSchema: {
      type: 'object',
      properties: {
        region: { type: 'string', 'x-mcp-header': 'Region' },
        deep: { type: 'object', properties: { n: { type: 'integer', 'x-mcp-header': 'N' } } },
      },
    },
  })

  it('are sent by a client that knows nothing of them, even if it has not listed the tools', async () => {
    const server = await behindGateway(
      'http',
      modernScript({ tools: [annotated, tool('plain')], call: () => complete(text('ok')) }),
    )
    const session = await RawSession.open(server.path)
    await session.call('deploy', { region: 'zürich', deep: { n: 7 } })
    await session.call('plain', { region: 'x' })
    await session.call('deploy', { region: null })
    const all = await RawSession.open(server.url)
    await all.call('s__deploy', { region: ' padded ' })
    const seen = server
      .headers('tools/call')
      .map((headers) => [headers['mcp-name'], headers['mcp-param-region'], headers['mcp-param-n']])
    expect(seen).toEqual([
      ['deploy', '=?base64?esO8cmljaA==?=', '7'],
      ['plain', undefined, undefined],
      ['deploy', undefined, undefined],
      ['deploy', '=?base64?IHBhZGRlZCA=?=', undefined],
    ])
    expect(server.messages('tools/list').length).toBe(1)
    // a tool that is not listed is looked for once
    for (let call = 0; call < 3; call++) await session.call('hidden')
    expect(server.messages('tools/list').length).toBe(2)
  })

  it('are learned again when the server misses them, once', async () => {
    let tools = [tool('deploy')]
    const server = await behindGateway(
      'http',
      modernScript({
        on: { 'tools/list': () => complete({ tools }) },
        call() {
          const headers = server.headers('tools/call').at(-1)
          if (headers?.['mcp-param-region'] === undefined)
            throw new RpcFailure(-32020, 'Header mismatch: Mcp-Param-Region')
          return complete(text('deployed'))
        },
      }),
    )
    const session = await RawSession.open(server.path)
    await session.request('tools/list')
    expect(at(await session.call('deploy', { region: 'eu' }), 'error', 'code')).toBe(-32603)
    expect(server.messages('tools/call').length).toBe(2)
    tools = [annotated]
    expect(at(await session.call('deploy', { region: 'eu' }), 'result', 'content', 0, 'text')).toBe(
      'deployed',
    )
    expect(server.messages('tools/call').length).toBe(4)
  })

  it.each<[Transport, string[]]>([
    ['http', ['good', 'last']],
    ['stdio', ['bad', 'good', 'bad2', 'last']],
  ])('over %s: tools with annotations that break the rules', async (transport, shown) => {
    const bad = { type: 'object', properties: { a: { type: 'string', 'x-mcp-header': 'not a token' } } }
    const server = await behindGateway(
      transport,
      modernScript({
        tools: [
          tool('bad', { inputSchema: bad }),
          tool('good', { outputSchema: { type: 'array' } }),
          tool('bad2', { inputSchema: bad }),
          tool('last'),
        ],
      }),
    )
    const session = await RawSession.open(server.path)
    const tools = listAt(await session.request('tools/list'), 'result', 'tools')
    expect(tools.map((it) => at(it, 'name'))).toEqual(shown)
    expect(at(tools[shown.indexOf('good')], 'outputSchema', 'properties', 'result')).toEqual({
      type: 'array',
    })
    if (transport === 'http') expect(server.log.join('\n')).toMatch(/left out.*"bad"/)
  })
})

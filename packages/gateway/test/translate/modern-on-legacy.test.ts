import { describe, expect, it } from 'vitest'
import { until } from '../flow/harness.ts'
import { at, type Json, listAt, modern } from '../flow/raw-client.ts'
import { RpcFailure, type Script, text } from '../flow/scripted-server.ts'
import { callTool, startLegacyBehind, startTool, transports } from './legacy-behind.ts'

const serverInfo = { name: 's', version: '1' }
const META_INFO = 'io.modelcontextprotocol/serverInfo'
const LOG_LEVEL = 'io.modelcontextprotocol/logLevel'

const script: Script = {
  name: 's',
  instructions: 'be kind',
  tools: [
    'echo',
    {
      name: 'odd',
      inputSchema: { type: 'object' },
      'x-unknown': [1],
      execution: { taskSupport: 'optional' },
    },
  ],
  resources: [{ uri: 'file:///a', name: 'a' }],
  capabilities: {
    tools: { listChanged: true },
    resources: { subscribe: true },
    logging: {},
    tasks: { list: {} },
    experimental: { x: {} },
  },
  on: {
    'x/custom': ({ params }) => ({ got: params }),
    'resources/read': ({ params }) => {
      if (params['uri'] === 'file:///none') throw new RpcFailure(-32002, 'Resource not found', { hint: 1 })
      return { contents: [{ uri: params['uri'], text: 'a' }], _meta: { mine: true } }
    },
  },
  call: async ({ send, params }, tool) => {
    const log = (level: string) =>
      send({ jsonrpc: '2.0', method: 'notifications/message', params: { level, data: level } })
    switch (tool) {
      case 'odd':
        return {
          content: [{ type: 'hologram', 'x-y': { z: 1 } }],
          structuredContent: { n: 1 },
          extra: [null],
        }
      case 'logs':
        for (const level of ['debug', 'info', 'warning', 'error']) log(level)
        return text('logged')
      case 'progress':
        for (const progress of [1, 2])
          send({
            jsonrpc: '2.0',
            method: 'notifications/progress',
            params: { progress, progressToken: at(params, '_meta', 'progressToken') },
          })
        return text('done')
      case 'reserved':
        throw new RpcFailure(-32021, 'my own meaning', { a: 1 })
      case 'fails':
        throw new RpcFailure(-32007, 'no', { a: 1 })
      case 'tool-error':
        return { ...text('no'), isError: true }
      default:
        return text(JSON.stringify(params))
    }
  },
}

describe.each(transports)('a client of the modern era with a legacy server over %s', (transport) => {
  it('discovers it, from what it said when it was initialized', async () => {
    const { own } = await startLegacyBehind(transport, script)
    expect(await modern(own, 'server/discover')).toEqual({
      jsonrpc: '2.0',
      id: 1,
      status: 200,
      result: {
        resultType: 'complete',
        supportedVersions: ['2026-07-28'],
        capabilities: {
          tools: { listChanged: true },
          resources: { subscribe: true },
          logging: {},
          experimental: { x: {} },
        },
        instructions: 'be kind',
        ttlMs: 0,
        cacheScope: 'private',
        _meta: { [META_INFO]: serverInfo },
      },
    })
  })

  it('gets results in the form of its era, with everything in them that the server wrote', async () => {
    const { own } = await startLegacyBehind(transport, script)
    expect(await modern(own, 'tools/list')).toMatchObject({
      result: {
        resultType: 'complete',
        ttlMs: 0,
        cacheScope: 'private',
        _meta: { [META_INFO]: serverInfo },
        tools: [{ name: 'echo' }, { name: 'odd', 'x-unknown': [1], execution: { taskSupport: 'optional' } }],
      },
    })
    const odd = await callTool(own, 'odd')
    expect(odd['result']).toEqual({
      resultType: 'complete',
      content: [{ type: 'hologram', 'x-y': { z: 1 } }],
      structuredContent: { n: 1 },
      extra: [null],
      _meta: { [META_INFO]: serverInfo },
    })
    expect(await modern(own, 'resources/read', { uri: 'file:///a' })).toMatchObject({
      result: {
        resultType: 'complete',
        ttlMs: 0,
        cacheScope: 'private',
        _meta: { mine: true, [META_INFO]: serverInfo },
      },
    })
    expect(await callTool(own, 'tool-error')).toMatchObject({ status: 200, result: { isError: true } })
  })

  it('sends it nothing of its era, and all that belongs to none', async () => {
    const { own, messages, http } = await startLegacyBehind(transport, script)
    const meta = {
      progressToken: 'mine',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'com.example/kept': { deep: [1.0] },
    }
    const answer = await callTool(
      own,
      'echo',
      { big: 1 },
      { id: 'same', meta, headers: { 'mcp-param-x': 'y' } },
    )
    expect(answer['id']).toBe('same')
    const [call] = messages('tools/call')
    expect(Object.keys(Object(at(call, 'params', '_meta'))).sort()).toEqual([
      'com.example/kept',
      'progressToken',
      'traceparent',
    ])
    expect(at(call, 'params', '_meta', 'com.example/kept')).toEqual({ deep: [1] })
    const received = http?.received.filter(({ message }) => message?.['method'] === 'tools/call') ?? []
    for (const { headers } of received) {
      expect(Object.keys(headers).filter((name) => /^mcp-(?:name|method|param)/.test(name))).toEqual([])
      expect(headers['mcp-protocol-version']).toBe('2025-11-25')
      expect(headers['traceparent']).toContain('0af7651916cd43dd8448eb211c80319c')
    }
    const initialize = messages('initialize').find((it) => at(it, 'params', 'clientInfo', 'name') === 'raw')
    expect(at(initialize, 'params', 'capabilities')).toEqual({
      sampling: {},
      elicitation: { form: {}, url: {} },
      roots: {},
    })
  })

  it('keeps its own ids and progress tokens, however many calls have the same', async () => {
    const { own, messages } = await startLegacyBehind(transport, script)
    const options = { id: 1, capabilities: {}, meta: { progressToken: 'same' } }
    const streams = await Promise.all([1, 2, 3, 4].map((n) => startTool(own, 'progress', { n }, options)))
    await Promise.all(streams.map(({ ended }) => ended))
    for (const { messages: got } of streams) {
      expect(got.slice(0, 2).map(({ params }) => params)).toEqual([
        { progress: 1, progressToken: 'same' },
        { progress: 2, progressToken: 'same' },
      ])
      expect(got[2]).toMatchObject({ id: 1, result: { content: [{ text: 'done' }] } })
    }
    const calls = messages('tools/call')
    expect(new Set(calls.map(({ id }) => id)).size).toBe(4)
    expect(new Set(calls.map((call) => at(call, 'params', '_meta', 'progressToken'))).size).toBe(4)
  })

  it('gets errors with the codes of its era', async () => {
    const { own } = await startLegacyBehind(transport, script)
    expect(await modern(own, 'resources/read', { uri: 'file:///none' })).toMatchObject({
      status: 200,
      error: { code: -32602, message: 'Resource not found', data: { uri: 'file:///none', hint: 1 } },
    })
    expect(await callTool(own, 'fails')).toMatchObject({
      error: { code: -32007, message: 'no', data: { a: 1 } },
    })
    expect(await callTool(own, 'reserved')).toMatchObject({
      status: 200,
      error: { code: -32603, message: 'my own meaning', data: { a: 1 } },
    })
    expect(await modern(own, 'no/such')).toMatchObject({ status: 404, error: { code: -32601 } })
  })

  it('cannot use what only sessions have, and can use what neither era knows', async () => {
    const { own, messages } = await startLegacyBehind(transport, script)
    const gone = [
      'ping',
      'logging/setLevel',
      'resources/subscribe',
      'resources/unsubscribe',
      'tasks/list',
      'initialize',
    ]
    for (const method of gone) {
      const before = messages(method).length
      const answer = await modern(own, method, { level: 'debug', uri: 'file:///a' })
      expect([answer.status, at(answer, 'error', 'code')], method).toEqual([404, -32601])
      expect(messages(method).length).toBe(before)
    }
    const custom = await modern(own, 'x/custom', { a: [1, { b: 2 }] })
    expect(at(custom, 'result', 'got', 'a')).toEqual([1, { b: 2 }])
  })

  it('gets log messages for requests that ask for some, of their level', async () => {
    const { own, messages } = await startLegacyBehind(transport, script)
    const logs = async (level?: string): Promise<readonly unknown[]> => {
      const stream = await startTool(
        own,
        'logs',
        {},
        { capabilities: {}, ...(level && { meta: { [LOG_LEVEL]: level } }) },
      )
      await stream.ended
      expect(stream.messages.at(-1)).toMatchObject({ result: { resultType: 'complete' } })
      return stream.messages.slice(0, -1).map((message) => at(message, 'params', 'data'))
    }
    expect(await logs()).toEqual([])
    expect(await logs('info')).toEqual(['info', 'warning', 'error'])
    expect(await logs('error')).toEqual(['error'])
    const levels = messages('logging/setLevel').map((each) => at(each, 'params', 'level'))
    expect(levels).toEqual(['info', 'error'])
    expect(await logs()).toEqual([])
    expect(await callTool(own, 'logs', {}, { meta: { [LOG_LEVEL]: 'loud' } })).toMatchObject({
      error: { code: -32602 },
    })
  })

  it('hears nothing of levels that a server without logs would not know', async () => {
    const { own, messages } = await startLegacyBehind(transport, { ...script, capabilities: { tools: {} } })
    await callTool(own, 'echo', {}, { meta: { [LOG_LEVEL]: 'debug' } })
    expect(messages('logging/setLevel')).toEqual([])
  })

  it('gets an answer of megabytes unharmed', async () => {
    const value = 'é"\\\n😀'.repeat(300_000)
    const { own } = await startLegacyBehind(transport, { ...script, call: () => text(value) })
    const answer = await callTool(own, 'echo')
    expect(at(answer, 'result', 'content', 0, 'text') === value).toBe(true)
    expect(at(answer, 'result', '_meta', META_INFO)).toEqual(serverInfo)
  })

  it('sees it on the aggregated endpoint too, lists and all', async () => {
    const { url } = await startLegacyBehind(transport, script)
    const tools = await modern(url, 'tools/list')
    expect(listAt(tools, 'result', 'tools').map((each) => at(each, 'name'))).toEqual(['s__echo', 's__odd'])
    expect(at(await modern(url, 'resources/list'), 'result', 'resources', 0, 'uri')).toBe('file:///a')
    const completion = { ref: { type: 'ref/prompt', name: 's__p' }, argument: { name: 'a', value: '' } }
    expect(at(await modern(url, 'completion/complete', completion), 'error', 'code')).toBe(-32601)
    const discovered = await modern(url, 'server/discover')
    expect(discovered).toMatchObject({
      result: { capabilities: { tools: { listChanged: true }, logging: {} }, instructions: '# s\n\nbe kind' },
    })
  })

  it('that hangs up cancels its call', async () => {
    const { own, messages } = await startLegacyBehind(transport, {
      ...script,
      call: ({ send, params, silence }) => {
        const progressToken = at(params, '_meta', 'progressToken')
        send({ jsonrpc: '2.0', method: 'notifications/progress', params: { progress: 0, progressToken } })
        return silence()
      },
    })
    for (const capabilities of [{}, { sampling: {} }]) {
      const before = messages('notifications/cancelled').length
      const stream = await startTool(own, 'echo', {}, { capabilities, meta: { progressToken: 1 } })
      await until(() => expect(stream.messages.length).toBe(1))
      stream.abort()
      await until(() => expect(messages('notifications/cancelled').length).toBe(before + 1))
      const ids: Json[] = [...messages('tools/call')]
      expect(at(messages('notifications/cancelled').at(-1), 'params', 'requestId')).toBe(at(ids.at(-1), 'id'))
    }
  })
})

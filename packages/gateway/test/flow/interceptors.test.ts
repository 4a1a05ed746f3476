import type { GatewayInterceptor, InterceptedCall, JsonObject } from '@sallyport/core'
import { describe, expect, it } from 'vitest'
import { connectV1, startFixture, startGateway, textOf } from './harness.ts'
import { at, listAt, modern, RawSession } from './raw-client.ts'
import { startScriptedHttp } from './scripted-http.ts'
import { scriptedRuntime } from './scripted-runtime.ts'
import { text } from './scripted-server.ts'

const plain = { name: 's', tools: ['t', 'hidden'], resources: [{ uri: 'a://1', name: '1' }] }

describe('interceptors', () => {
  it('filter and rewrite lists, on the aggregated endpoint and on the path of a server', async () => {
    const server = await startScriptedHttp(plain)
    const fixture = await startFixture({ pageSize: 5 })
    const seen: string[] = []
    const hide: GatewayInterceptor = {
      name: 'hide',
      list(context, kind, definitions) {
        seen.push(`${context.era} ${kind} ${[...new Set(definitions.map((each) => each.server))].join('+')}`)
        return definitions
          .filter(
            ({ definition }) =>
              !String(definition['name']).endsWith('hidden') && !String(definition['name']).endsWith('echo'),
          )
          .map((each) => ({
            ...each,
            definition: { ...each.definition, description: `seen by ${context.principal.subject}` },
          }))
      },
    }
    const {
      gateway,
      url,
      at: path,
    } = await startGateway({
      servers: { s: { url: server.url }, fix: { url: fixture.url } },
      interceptors: [hide],
    })
    await gateway.ready()
    for (const [to, prefix] of [
      [url, 's__'],
      [path('s'), ''],
    ] as const) {
      const session = await RawSession.open(to)
      const tools = listAt(await session.request('tools/list'), 'result', 'tools')
      const names = tools.map((each) => at(each, 'name'))
      expect(names).toContain(`${prefix}t`)
      expect(names).not.toContain(`${prefix}hidden`)
      for (const tool of tools) expect(at(tool, 'description')).toBe('seen by local')
    }
    for (const [to, prefix] of [[path('fix'), '']] as const) {
      const answer = await modern(to, 'tools/list')
      const tools = listAt(answer, 'result', 'tools')
      expect(tools.length).toBeGreaterThan(2)
      expect(tools.map((each) => at(each, 'name'))).not.toContain(`${prefix}echo`)
      for (const tool of tools) expect(at(tool, 'description')).toBe('seen by local')
      // everything else of the result is the server's
      expect(at(answer, 'result', 'nextCursor')).toBeTypeOf('string')
      expect(at(answer, 'result', 'resultType')).toBe('complete')
    }
    expect(seen).toEqual(['legacy tools s+fix', 'legacy tools s', 'modern tools fix'])
  })

  it('see each request with the names of its server, and may change its params', async () => {
    const fixture = await startFixture()
    const server = await startScriptedHttp(plain)
    const seen: InterceptedCall[] = []
    const rewrite: GatewayInterceptor = {
      name: 'rewrite',
      request(_context, call) {
        seen.push(call)
        if (call.method !== 'tools/call') return call
        const name = call.params['name'] === 'ünknown' ? 'echo' : call.params['name']
        const params: JsonObject = {
          ...call.params,
          ...(name !== undefined && { name }),
          arguments: { replaced: true },
        }
        return { ...call, params, method: 'other', server: 'other' }
      },
    }
    const {
      gateway,
      url,
      at: path,
    } = await startGateway({
      servers: { fix: { url: fixture.url }, s: { url: server.url }, pipe: { command: 'pipe' } },
      runtime: scriptedRuntime({ pipe: { ...plain, name: 'pipe' } }),
      interceptors: [rewrite],
    })
    await gateway.ready()
    const session = await RawSession.open(url)
    for (const [tool, answer] of [
      ['fix__echo', '{"replaced":true}'],
      ['s__t', 's:t:{"replaced":true}'],
      ['pipe__t', 'pipe:t:{"replaced":true}'],
    ] as const) {
      const got = await session.request('tools/call', { name: tool, arguments: { a: 1 } }, `id of ${tool}`)
      expect(at(got, 'result', 'content', 0, 'text')).toBe(answer)
      expect(got['id']).toBe(`id of ${tool}`)
    }
    expect(seen.map(({ server: to, params }) => [to, params['name']])).toEqual([
      ['fix', 'echo'],
      ['s', 't'],
      ['pipe', 't'],
    ])
    const renamed = await modern(path('fix'), 'tools/call', { name: 'ünknown', arguments: { a: 1 } })
    expect(at(renamed, 'result', 'content', 0, 'text')).toBe('{"replaced":true}')
    const sent = fixture.received().findLast(({ rpcMethod }) => rpcMethod === 'tools/call')
    expect(sent?.headers['mcp-name']).toBe('echo')
  })

  it('refuse with a message and data, or by throwing; the server gets nothing', async () => {
    const server = await startScriptedHttp(plain)
    const guard: GatewayInterceptor = {
      name: 'guard',
      async request(_context, { params }) {
        if (params['name'] === 'hidden') return { refuse: true, message: 'not for you', data: { rule: 7 } }
        if (params['name'] === 't') throw new Error('internal detail')
        return { method: '', server: '', params }
      },
    }
    const later: GatewayInterceptor = {
      name: 'later',
      request() {
        throw new Error('must not be asked')
      },
    }
    const { url, log } = await startGateway({
      servers: { s: { url: server.url } },
      interceptors: [guard, later],
    })
    const session = await RawSession.open(url)
    const refused = await session.call('s__hidden')
    expect(at(refused, 'error')).toEqual({
      code: -32600,
      message: 'not for you',
      data: { code: 'ERR_FORBIDDEN', interceptor: 'guard', rule: 7 },
    })
    const thrown = await session.call('s__t')
    expect(at(thrown, 'error', 'message')).toBe('interceptor "guard" failed')
    expect(JSON.stringify(thrown)).not.toContain('internal detail')
    expect(server.messages('tools/call')).toEqual([])
    expect(log.join()).not.toContain('must not be asked')
  })

  it('see answers, JSON or streamed, and may replace them; ids stay', async () => {
    const server = await startScriptedHttp({
      name: 's',
      tools: ['json', 'stream', 'error'],
      call: (turn, tool) => {
        if (tool === 'error') throw new Error('server says no')
        if (tool === 'stream')
          turn.send({
            jsonrpc: '2.0',
            method: 'notifications/message',
            params: { level: 'info', data: 'first' },
          })
        return text(tool)
      },
    })
    const watched: string[] = []
    const watch: GatewayInterceptor = {
      name: 'watch',
      response: { body: 'none', handle: (_context, call) => void watched.push(String(call.params['name'])) },
    }
    const redact: GatewayInterceptor = {
      name: 'redact',
      response: {
        body: 'buffer',
        handle: (_context, { call, response }) =>
          response['result'] === undefined
            ? response
            : {
                ...response,
                id: 'forged',
                result: text(`redacted ${String(call.params['name'])}`) as JsonObject,
              },
      },
    }
    const { url } = await startGateway({ servers: { s: { url: server.url } }, interceptors: [watch, redact] })
    const session = await RawSession.open(url)
    for (const tool of ['json', 'stream']) {
      const stream = await session.start('tools/call', { name: `s__${tool}`, arguments: {} }, `id-${tool}`)
      await stream.ended
      expect(stream.messages.at(-1)).toEqual({
        jsonrpc: '2.0',
        id: `id-${tool}`,
        result: text(`redacted ${tool}`),
      })
      expect(stream.messages.length).toBe(tool === 'stream' ? 2 : 1)
    }
    expect(at(await session.call('s__error'), 'error', 'message')).toBe('server says no')
    expect(watched).toEqual(['json', 'stream', 'error'])
  })

  it('that fail on an answer keep it from the client', async () => {
    const server = await startScriptedHttp(plain)
    const { url } = await startGateway({
      servers: { s: { url: server.url } },
      interceptors: [
        {
          name: 'broken',
          response: {
            body: 'buffer',
            handle() {
              throw new Error('oops')
            },
          },
        },
      ],
    })
    const session = await RawSession.open(url)
    const answer = await session.call('s__t')
    expect(at(answer, 'error', 'message')).toBe('interceptor "broken" failed')
    expect(JSON.stringify(answer)).not.toContain('s:t:')
  })

  it('do not hinder SDK clients, progress and cancellation', async () => {
    const fixture = await startFixture()
    const { gateway, url } = await startGateway({
      servers: { fix: { url: fixture.url } },
      interceptors: [
        {
          name: 'slow',
          request: async (_context, call) => {
            await new Promise((resolve) => setImmediate(resolve))
            return { ...call, params: { ...call.params } }
          },
          response: { body: 'buffer', handle: async (_context, { response }) => ({ ...response }) },
        },
      ],
    })
    await gateway.ready()
    const client = await connectV1(url)
    const seen: number[] = []
    const result = await client.callTool({ name: 'fix__progress', arguments: { n: 2 } }, undefined, {
      onprogress: ({ progress }) => void seen.push(progress),
    })
    expect(textOf(result)).toMatch(/^token=/)
    expect(seen).toEqual([1, 2])
    const image = await client.callTool({ name: 'fix__structured', arguments: { a: 2, b: 3 } })
    expect(image.structuredContent).toEqual({ sum: 5, product: 6 })
  })
})

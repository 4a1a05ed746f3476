import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { describe, expect, it, onTestFinished } from 'vitest'
import { limitSize, redact, type RedactOptions } from '../../src/index.ts'
import { portOf, startFixture, startGateway } from '../flow/harness.ts'
import { at, type Json, modern, RawSession } from '../flow/raw-client.ts'
import { startScriptedHttp } from '../flow/scripted-http.ts'
import { RpcFailure, type Script, text } from '../flow/scripted-server.ts'

const answer = {
  user: { email: 'ada@example.com', Password: 'hunter2' },
  rows: [{ secret: 'a' }, { secret: 'b' }],
  note: 'call 555-1234',
}
const script: Script = {
  name: 's',
  tools: ['get', 'fail', 'large'],
  call(_turn, tool) {
    if (tool === 'fail') throw new RpcFailure(-32000, 'no such user: ada@example.com')
    if (tool === 'large') return text('x'.repeat(5_000))
    return {
      content: [
        { type: 'text', text: JSON.stringify(answer) },
        { type: 'text', text: 'write to ada@example.com' },
        { type: 'image', data: 'ada@example.com', mimeType: 'image/png' },
      ],
      structuredContent: answer,
    }
  },
}

async function forwardTo(url: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = ''
  for await (const chunk of request) body += String(chunk)
  const headers = Object.entries(request.headers).flatMap(([name, value]): [string, string][] =>
    /^(?:mcp-|content-type|accept$)/.test(name) && typeof value === 'string' ? [[name, value]] : [],
  )
  const answer = await fetch(url, { method: 'POST', headers, body })
  response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' })
  response.end(await answer.text())
}

describe('redact', () => {
  const options: RedactOptions = {
    keys: ['password'],
    paths: ['/rows/*/secret'],
    patterns: [/[\w.]+@[\w.]+/, /555-\d{4}/],
    replacement: '***',
  }
  const clean = {
    user: { email: '***', Password: '***' },
    rows: [{ secret: '***' }, { secret: '***' }],
    note: 'call ***',
  }

  it('takes out of arguments what a server should not get', async () => {
    const server = await startScriptedHttp(script)
    const { url } = await startGateway({
      servers: { s: { url: server.url } },
      interceptors: [redact(options)],
    })
    const session = await RawSession.open(url)
    await session.call('s__get', answer)
    expect(at(server.messages('tools/call')[0], 'params', 'arguments')).toEqual(clean)
  })

  it('passes no header on that the client wrote of arguments which are others now', async () => {
    const fix = await startFixture({ era: 'modern' })
    const seen: unknown[] = []
    const proxy = createServer((request, response) => {
      if (request.headers['mcp-method'] === 'tools/call')
        seen.push(request.headers['mcp-param-mail'], request.headers['mcp-param-other'])
      void forwardTo(fix.url, request, response)
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void proxy.close())
    const { at: path } = await startGateway({
      servers: { fix: { url: `http://127.0.0.1:${portOf(proxy.address())}/mcp` } },
      interceptors: [redact(options)],
    })
    await modern(
      path('fix'),
      'tools/call',
      { name: 'echo', arguments: { message: 'ada@example.com', other: 'x' } },
      { headers: { 'mcp-param-mail': 'ada@example.com', 'mcp-param-other': 'x' } },
    )
    // they are written anew from the annotations of the tool, and this one has none
    expect(seen).toEqual([undefined, undefined])
  })

  it('takes out of results and errors what a client should not get', async () => {
    const server = await startScriptedHttp(script)
    const { url, at: path } = await startGateway({
      servers: { s: { url: server.url } },
      interceptors: [redact({ ...options, in: ['results'] })],
    })
    for (const [to, prefix] of [
      [url, 's__'],
      [path('s'), ''],
    ] as const) {
      const session = await RawSession.open(to)
      const { result } = await session.call(`${prefix}get`, answer)
      expect(at(result, 'structuredContent')).toEqual(clean)
      expect(JSON.parse(String(at(result, 'content', 0, 'text')))).toEqual(clean)
      expect(at(result, 'content', 1, 'text')).toBe('write to ***')
      expect(at(result, 'content', 2, 'data')).toBe('ada@example.com')
      expect(at(await session.call(`${prefix}fail`), 'error', 'message')).toBe('no such user: ***')
    }
    expect(at(server.messages('tools/call')[0], 'params', 'arguments')).toEqual(answer)
  })

  it('leaves alone what it was not set to, and says what is wrong with its options', async () => {
    const server = await startScriptedHttp(script)
    const { url } = await startGateway({
      servers: { s: { url: server.url } },
      interceptors: [redact({ ...options, tools: 's/other' })],
    })
    const session = await RawSession.open(url)
    const { result } = await session.call('s__get')
    expect(at(result, 'structuredContent')).toEqual(answer)
    expect(() => redact({})).toThrow('redact: takes out nothing: name keys, paths or patterns')
    const misspelt: object = { key: ['x'] }
    expect(() => redact(misspelt)).toThrow('redact: there is no "key" (did you mean "keys"?)')
    expect(() => redact({ paths: ['a'] })).toThrow('redact.paths.0: expected a JSON Pointer')
  })
})

describe('limitSize', () => {
  it('refuses requests and answers that are too large, by tool', async () => {
    const server = await startScriptedHttp(script)
    const fix = await startFixture({ era: 'modern' })
    const { at: path } = await startGateway({
      servers: { s: { url: server.url }, fix: { url: fix.url } },
      interceptors: [
        limitSize({
          requestBytes: 1_000,
          responseBytes: 2_000,
          perTool: { 'fix/echo': { requestBytes: 2_000 } },
        }),
      ],
    })
    const session = await RawSession.open(path('s'))
    const large: Json = { text: 'x'.repeat(1_000) }
    expect(at(await session.call('get'), 'result')).toBeDefined()
    expect(at(await session.call('get', large), 'error', 'data')).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
      interceptor: 'limitSize',
      limitBytes: 1_000,
    })
    expect(server.messages('tools/call')).toHaveLength(1)
    const refused = await session.call('large')
    expect(at(refused, 'error', 'message')).toMatch(/^the answer takes 5\d\d\d bytes, 2000 are allowed$/)
    const echoed = await modern(path('fix'), 'tools/call', {
      name: 'echo',
      arguments: { message: 'x'.repeat(1_000) },
    })
    expect(at(echoed, 'result')).toBeDefined()
    expect(() => limitSize({ perTool: { echo: {} } })).toThrow('limitSize.perTool.echo')
  })

  it('limits neither lists nor introductions, alone and aggregated, and asks for no repetition of what was done', async () => {
    const server = await startScriptedHttp(script)
    const fix = await startFixture({ era: 'modern' })
    const { url, at: path } = await startGateway({
      servers: { s: { url: server.url }, fix: { url: fix.url } },
      interceptors: [limitSize({ requestBytes: 5_000, responseBytes: 100 })],
    })
    for (const [to, prefix] of [
      [url, 's__'],
      [path('s'), ''],
    ] as const) {
      const session = await RawSession.open(to)
      expect(JSON.stringify(await session.request('tools/list'))).toContain(`"${prefix}large"`)
      expect(at(await session.call(`${prefix}large`), 'error', 'data', 'code')).toBe('ERR_LIMIT_EXCEEDED')
    }
    expect(at(await modern(path('fix'), 'server/discover'), 'result')).toBeDefined()
    expect(at(await modern(path('fix'), 'tools/list'), 'result', 'tools')).toBeDefined()
    const large = { name: 'echo', arguments: { message: 'x'.repeat(200) } }
    const refused = await modern(path('fix'), 'tools/call', large)
    expect(refused).toMatchObject({ status: 200, error: { data: { code: 'ERR_LIMIT_EXCEEDED' } } })
  })
})

import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { serveStdio } from '../../src/stdio/index.ts'
import { startFixture, startGateway, stdioFixture, until } from './harness.ts'
import { at, modern, modernMeta, modernStart, RawSession } from './raw-client.ts'
import { startScriptedHttp } from './scripted-http.ts'
import { scriptedRuntime } from './scripted-runtime.ts'
import { text } from './scripted-server.ts'

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const other = '00-11111111111111111111111111111111-2222222222222222-00'

describe('the audit trail', () => {
  it('has the code of an error whose id had to be put back', async () => {
    const audit = createMemoryAuditRecorder()
    const runtime = scriptedRuntime({
      pipe: {
        name: 'pipe',
        tools: ['fail'],
        call: () => Promise.reject(new Error('broken')),
      },
    })
    const { url } = await startGateway({ servers: { pipe: { command: 'pipe' } }, runtime, audit })
    const session = await RawSession.open(url)
    await session.request('tools/call', { name: 'pipe__fail' }, 'an id that is longer than a number')
    const entry = audit.entries().find(({ intent }) => intent.method === 'tools/call')
    expect(entry?.outcome).toMatchObject({ status: 'error', code: -32603 })
  })

  it('has an entry for every message, whoever sent it, and says how it ended', async () => {
    const server = await startScriptedHttp({
      name: 's',
      tools: ['ask', 'bad', 'fail'],
      call: async (turn, tool) => {
        if (tool === 'bad') return { ...text('no'), isError: true }
        if (tool === 'fail') throw new Error('broken')
        turn.send({ jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data: 1 } })
        await turn.ask('roots/list', {})
        return text('asked')
      },
    })
    const audit = createMemoryAuditRecorder()
    const { url } = await startGateway({ servers: { s: { url: server.url } }, audit })
    const session = await RawSession.open(url, { capabilities: { roots: {} } })
    session.onRequest = () => ({ result: { roots: [] } })
    await session.call('s__ask')
    await session.call('s__bad')
    await session.call('s__fail')
    await session.call('nobody__x')
    await session.notify('notifications/roots/list_changed')
    await session.request('resources/read', { uri: 'x://y' })
    const entries = await until(() => {
      const all = audit.entries()
      expect(all.length).toBeGreaterThanOrEqual(11)
      expect(all.every(({ outcome }) => outcome !== undefined)).toBe(true)
      return all
    })
    const short = entries.map(({ intent, outcome }) =>
      [intent.from, intent.kind, intent.method, intent.server, intent.target, outcome?.status, outcome?.code]
        .map((part) => part ?? '-')
        .join(' '),
    )
    expect(short).toEqual(
      expect.arrayContaining([
        'client request initialize - - ok -',
        'client notification notifications/initialized - - ok -',
        'client request tools/call s ask ok -',
        'server notification notifications/message s - ok -',
        'server request roots/list s - ok -',
        'client response - - - ok -',
        'client request tools/call s bad tool-error -',
        'client request tools/call s fail error -32603',
        'client request tools/call - - refused -32602',
        'client notification notifications/roots/list_changed - - ok -',
      ]),
    )
    const asked = entries.find(({ intent }) => intent.target === 'ask')
    expect(asked?.intent).toMatchObject({
      sessionId: session.id,
      era: 'legacy',
      principal: { subject: 'local' },
    })
    expect(asked?.outcome?.bytes).toBeGreaterThan(10)
    const fromServer = entries.filter(({ intent }) => intent.from === 'server')
    expect(fromServer.map(({ intent }) => intent.sessionId)).toEqual(fromServer.map(() => session.id))
  })

  it('names what servers say in the modern era, and what was cancelled', async () => {
    const fixture = await startFixture()
    const audit = createMemoryAuditRecorder()
    const { gateway, url } = await startGateway({ servers: { fix: { url: fixture.url } }, audit })
    await gateway.ready()
    await modern(
      url,
      'tools/call',
      { name: 'fix__progress', arguments: { n: 1 } },
      { meta: { progressToken: 1 } },
    )
    const stream = await modernStart(
      url,
      'tools/call',
      { name: 'fix__hang', arguments: {} },
      { meta: { progressToken: 1 } },
    )
    await until(() => expect(stream.messages.length).toBe(1))
    stream.abort()
    await until(() => {
      const short = audit
        .entries()
        .map(({ intent, outcome }) => `${intent.from} ${intent.method} ${intent.server} ${outcome?.status}`)
      expect(short).toContain('server notifications/progress fix ok')
      expect(short).toContain('client tools/call fix cancelled')
    })
  })

  it('that takes no entries stops the call before it leaves', async () => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    let broken = false
    const { url } = await startGateway({
      servers: { s: { url: server.url } },
      audit: {
        begin: async () => {
          if (broken) throw new Error('disk full')
          return { end() {} }
        },
      },
    })
    const session = await RawSession.open(url)
    await session.call('s__t')
    broken = true
    const stream = await session.start('tools/call', { name: 's__t' })
    await stream.ended
    expect([stream.status, at(stream.messages[0], 'error', 'data', 'code')]).toEqual([
      503,
      'ERR_AUDIT_UNAVAILABLE',
    ])
    expect(server.messages('tools/call').length).toBe(1)
  })
})

describe('trace context', () => {
  it('goes on to the server, from headers or _meta, in both eras', async () => {
    const legacy = await startScriptedHttp({ name: 's', tools: ['t'] })
    const fixture = await startFixture({ era: 'modern' })
    const audit = createMemoryAuditRecorder()
    const {
      gateway,
      url,
      at: path,
    } = await startGateway({
      servers: { s: { url: legacy.url }, fix: { url: fixture.url } },
      audit,
    })
    await gateway.ready()
    const headers = { traceparent, tracestate: 'v=1', baggage: 'user=1' }
    const session = await RawSession.open(path('s'), { headers })
    await session.call('t')
    const opened = audit.entries().find(({ intent }) => intent.method === 'initialize')
    expect(opened?.intent.trace).toEqual(headers)
    const viaHeader = legacy.received.find(({ message }) => message?.['method'] === 'tools/call')
    expect(viaHeader?.headers).toMatchObject(headers)
    const plain = await RawSession.open(url)
    await plain.call('s__t', {}, { _meta: { traceparent: other, tracestate: 'w=2' } })
    const viaMeta = legacy.received.findLast(({ message }) => message?.['method'] === 'tools/call')
    expect(viaMeta?.headers).toMatchObject({ traceparent: other, tracestate: 'w=2' })
    expect(at(viaMeta?.message, 'params', '_meta')).toEqual({ traceparent: other, tracestate: 'w=2' })

    const answer = await modern(
      path('fix'),
      'tools/call',
      { name: 'received', arguments: {} },
      { headers, meta: { traceparent: other } },
    )
    const got = at(JSON.parse(String(at(answer, 'result', 'content', 0, 'text'))), 'headers')
    expect(at(got, 'traceparent')).toBe(other)
    await modern(
      path('fix'),
      'tools/call',
      { name: 'echo', arguments: {} },
      { headers: { traceparent: 'nonsense\t' } },
    )
    expect(fixture.received().at(-1)?.headers['traceparent']).toBeUndefined()
    expect(audit.entries().map(({ intent }) => intent.trace?.traceparent)).toEqual(
      expect.arrayContaining([traceparent, other]),
    )
  })

  it('that came in headers reaches a server on stdio in the message', async () => {
    const runtime = scriptedRuntime({ pipe: { name: 'pipe', tools: ['t'] } })
    const { url, at: path } = await startGateway({ servers: { pipe: { command: 'pipe' } }, runtime })
    const trace = { traceparent, tracestate: 'a=1', baggage: 'k=v' }
    const session = await RawSession.open(path('pipe'), { headers: trace })
    const own = { traceparent: other }
    await session.request('tools/list', {}, 'empty')
    await session.request('tools/call', { name: 't', _meta: {} }, 'no meta')
    await session.request('tools/call', { name: 't', _meta: { progressToken: 7 } }, 'token')
    await session.request('tools/call', { _meta: { ...own }, name: 't' }, 'own')
    await session.post({ jsonrpc: '2.0', id: 'bare', method: 'ping' })
    const aggregated = await RawSession.open(url, { headers: trace })
    await aggregated.call('pipe__t')
    const metas = runtime
      .of('pipe')
      .flatMap(({ received }) => received)
      .filter(({ method }) => ['tools/list', 'tools/call', 'ping'].includes(String(method)))
      .map((message) => at(message, 'params', '_meta'))
    expect(metas).toEqual([trace, trace, { ...trace, progressToken: expect.any(Number) }, own, trace, trace])
  })

  it('does not get between other changes of a message', async () => {
    const runtime = scriptedRuntime({
      pipe: {
        name: 'pipe',
        capabilities: { prompts: {}, completions: {} },
        on: { 'completion/complete': ({ params }) => ({ completion: { values: [JSON.stringify(params)] } }) },
      },
    })
    const { url } = await startGateway({ servers: { pipe: { command: 'pipe' } }, runtime })
    const session = await RawSession.open(url, { headers: { traceparent } })
    const completed = await session.request('completion/complete', {
      ref: { type: 'ref/prompt', name: 'pipe__p' },
      argument: { name: 'a', value: 'b' },
      _meta: { progressToken: 'mine' },
    })
    const got: unknown = JSON.parse(String(at(completed, 'result', 'completion', 'values', 0)))
    expect(got).toEqual({
      ref: { type: 'ref/prompt', name: 'p' },
      argument: { name: 'a', value: 'b' },
      _meta: { traceparent, progressToken: expect.any(Number) },
    })
  })

  it('of a client on stdio reaches an HTTP server as headers', async () => {
    const http = await startScriptedHttp({ name: 'http', tools: ['t'] })
    const { gateway } = await startGateway({ servers: { http: { url: http.url } } })
    await gateway.ready()
    const input = new PassThrough()
    const output = new PassThrough()
    const lines: string[] = []
    output.on('data', (chunk: Buffer) => lines.push(chunk.toString()))
    serveStdio(gateway, { input, output })
    const send = (message: object) => input.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
    send({
      id: 0,
      method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: {} },
    })
    send({ id: 1, method: 'tools/call', params: { name: 'http__t', _meta: { traceparent } } })
    await until(() => expect(lines.join('')).toContain('http:t'))
    const call = http.received.find(({ message }) => message?.['method'] === 'tools/call')
    expect(call?.headers['traceparent']).toBe(traceparent)
    input.end()
  })
})

describe('clients on stdio', () => {
  it('of both eras use all servers through one pair of streams', async () => {
    const fixture = await startFixture()
    const { gateway } = await startGateway({
      servers: { fix: { url: fixture.url }, pipe: stdioFixture('dual') },
    })
    await gateway.ready()
    const input = new PassThrough()
    const output = new PassThrough()
    let said = ''
    output.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    const messages = () =>
      said
        .split('\n')
        .filter((line) => line !== '')
        .map((line): unknown => JSON.parse(line))
    const connection = serveStdio(gateway, { input, output })
    const send = (message: object) => input.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
    send({
      id: 'm1',
      method: 'tools/call',
      params: { name: 'fix__echo', arguments: { x: 1 }, _meta: modernMeta },
    })
    send({
      id: 'm2',
      method: 'tools/call',
      params: { name: 'pipe__progress', arguments: { n: 1 }, _meta: { ...modernMeta, progressToken: 'p' } },
    })
    send({
      id: 'l',
      method: 'subscriptions/listen',
      params: { notifications: { toolsListChanged: true }, _meta: modernMeta },
    })
    send({
      id: 'h',
      method: 'tools/call',
      params: {
        name: 'fix__slow',
        arguments: { ms: 60_000, key: 'stdio' },
        _meta: { ...modernMeta, progressToken: 's' },
      },
    })
    await until(() => expect(said).toContain('"progressToken":"s"'))
    send({ method: 'notifications/cancelled', params: { requestId: 'h' } })
    await until(() => expect(fixture.cancellations().map(({ key }) => key)).toContain('stdio'))
    await until(() => {
      const all = messages()
      expect(all.filter((message) => at(message, 'id') === 'm1' || at(message, 'id') === 'm2').length).toBe(2)
      expect(all.some((message) => at(message, 'params', 'progressToken') === 'p')).toBe(true)
      expect(
        all.some((message) => at(message, 'method') === 'notifications/subscriptions/acknowledged'),
      ).toBe(true)
    })
    send({
      id: 'x',
      method: 'tools/call',
      params: { name: 'fix__change_list', arguments: {}, _meta: modernMeta },
    })
    await until(() => expect(said).toContain('notifications/tools/list_changed'))
    await gateway.close()
    await until(() =>
      expect(messages()).toContainEqual(
        expect.objectContaining({ id: 'l', result: expect.objectContaining({ resultType: 'complete' }) }),
      ),
    )
    input.end()
    await connection.closed
  })
})

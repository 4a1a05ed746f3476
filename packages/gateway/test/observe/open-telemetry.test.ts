import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import { AlwaysOffSampler, type ReadableSpan } from '@opentelemetry/sdk-trace'
import { describe, expect, it } from 'vitest'
import { createOpenTelemetry } from '../../src/opentelemetry/index.ts'
import { startFixture, startGateway, until } from '../flow/harness.ts'
import { at, type Json, modern, RawSession } from '../flow/raw-client.ts'
import { startScriptedHttp } from '../flow/scripted-http.ts'
import { scriptedRuntime } from '../flow/scripted-runtime.ts'
import { RpcFailure, text } from '../flow/scripted-server.ts'
import { recordTelemetry } from './telemetry.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const callersSpan = 'b7ad6b7169203331'
const traceparent = `00-${traceId}-${callersSpan}-01`

function named(spans: readonly ReadableSpan[], kind: SpanKind, name: string): ReadableSpan {
  const found = spans.filter((span) => span.kind === kind && span.name === name)
  expect(found.length, `${SpanKind[kind]} spans ${name}`).toBe(1)
  const [span] = found
  if (span === undefined) throw new Error('unreachable')
  return span
}

/** What a trace context reads that names this span. */
function nameOf(span: ReadableSpan): string {
  const { traceId: trace, spanId } = span.spanContext()
  return `00-${trace}-${spanId}-01`
}

describe('spans', () => {
  it('are what a server on stdio hears of, although the caller spoke of its own in headers', async () => {
    const telemetry = recordTelemetry()
    const runtime = scriptedRuntime({ pipe: { name: 'pipe', tools: ['t'] } })
    const { at: path } = await startGateway({ servers: { pipe: { command: 'pipe' } }, runtime })
    const session = await RawSession.open(path('pipe'), { headers: { traceparent } })
    await session.request('tools/call', { name: 't', _meta: { progressToken: 1 } })
    const outgoing = named(telemetry.spans(), SpanKind.CLIENT, 'tools/call t')
    expect(outgoing.spanContext().traceId).toBe(traceId)
    const [call] = runtime.of('pipe').flatMap((process) => process.messages('tools/call'))
    expect(at(call, 'params', '_meta', 'traceparent')).toBe(nameOf(outgoing))
  })

  it('lie between the caller and the server: a new span id for each hop, in _meta and headers (legacy, HTTP)', async () => {
    const telemetry = recordTelemetry()
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    const meta = { traceparent, tracestate: 'vendor=1', progressToken: 'é"1' }
    await session.call('s__t', { big: 1 }, { _meta: meta })

    const spans = telemetry.spans()
    const incoming = named(spans, SpanKind.SERVER, 'tools/call s__t')
    const outgoing = named(spans, SpanKind.CLIENT, 'tools/call t')
    expect(incoming.parentSpanContext).toMatchObject({ traceId, spanId: callersSpan, isRemote: true })
    expect(outgoing.parentSpanContext?.spanId).toBe(incoming.spanContext().spanId)
    expect(outgoing.spanContext().traceId).toBe(traceId)
    const received = server.received.find(({ message }) => message?.['method'] === 'tools/call')
    const sent = { traceparent: nameOf(outgoing), tracestate: 'vendor=1' }
    expect(at(received?.message, 'params', '_meta')).toEqual({ ...sent, progressToken: 'é"1' })
    expect(received?.headers).toMatchObject(sent)
    expect(incoming.attributes).toEqual({
      'mcp.method.name': 'tools/call',
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': 's__t',
      'jsonrpc.request.id': '1',
      'mcp.protocol.version': '2025-11-25',
      'mcp.session.id': session.id,
      'client.address': '127.0.0.1',
      'sallyport.era': 'legacy',
      'sallyport.upstream.name': 's',
    })
    expect(outgoing.attributes).toEqual({
      'mcp.method.name': 'tools/call',
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': 't',
      'mcp.protocol.version': '2025-11-25',
      'network.transport': 'tcp',
      'network.protocol.name': 'http',
      'server.address': '127.0.0.1',
      'server.port': server.port,
      'sallyport.era': 'legacy',
      'sallyport.upstream.name': 's',
    })
    expect([incoming.status.code, outgoing.status.code]).toEqual([SpanStatusCode.UNSET, SpanStatusCode.UNSET])
  })

  it('reach servers on stdio, and begin a trace where the caller has none', async () => {
    const telemetry = recordTelemetry()
    const runtime = scriptedRuntime({ pipe: { name: 'pipe', tools: ['t'] } })
    const { at: path } = await startGateway({ servers: { pipe: { command: 'pipe' } }, runtime })
    const session = await RawSession.open(path('pipe'))
    await session.request('tools/call', { name: 't' })
    await session.request('ping')

    const spans = telemetry.spans()
    const incoming = named(spans, SpanKind.SERVER, 'tools/call t')
    const outgoing = named(spans, SpanKind.CLIENT, 'tools/call t')
    expect(incoming.parentSpanContext).toBeUndefined()
    expect(outgoing.parentSpanContext?.spanId).toBe(incoming.spanContext().spanId)
    expect(outgoing.attributes).toMatchObject({ 'network.transport': 'pipe' })
    const messages = runtime.of('pipe').flatMap(({ received }) => received)
    const sent = (method: string) => messages.find((message) => message['method'] === method)
    expect(at(sent('tools/call'), 'params', '_meta', 'traceparent')).toBe(nameOf(outgoing))
    const ping = named(spans, SpanKind.CLIENT, 'ping')
    expect(at(sent('ping'), 'params', '_meta', 'traceparent')).toBe(nameOf(ping))
  })

  it('are the same in the modern era, over HTTP and stdio', async () => {
    const telemetry = recordTelemetry()
    const web = await startFixture({ era: 'modern' })
    const runtime = scriptedRuntime({
      pipe: {
        name: 'pipe',
        on: { 'server/discover': () => ({ supportedVersions: ['2026-07-28'], capabilities: { tools: {} } }) },
      },
    })
    const servers = { web: { url: web.url }, pipe: { command: 'pipe' } }
    const { gateway, url } = await startGateway({ servers, runtime })
    await gateway.ready()
    for (const server of ['web', 'pipe']) {
      const name = `${server}__echo`
      await modern(url, 'tools/call', { name, arguments: {} }, { meta: { traceparent } })
      const spans = telemetry.spans()
      const incoming = named(spans, SpanKind.SERVER, `tools/call ${name}`)
      const outgoing = spans.find((span) => span.parentSpanContext?.spanId === incoming.spanContext().spanId)
      if (outgoing === undefined) throw new Error('no client span')
      expect(outgoing).toMatchObject({ name: 'tools/call echo', kind: SpanKind.CLIENT })
      const attributes = { 'sallyport.era': 'modern', 'mcp.protocol.version': '2026-07-28' }
      expect(incoming.attributes).toMatchObject(attributes)
      const [call] = runtime.of('pipe').flatMap((process) => process.messages('tools/call'))
      const received =
        server === 'web'
          ? web.received().at(-1)?.headers['traceparent']
          : at(call, 'params', '_meta', 'traceparent')
      expect(received).toBe(nameOf(outgoing))
    }
  })

  it("of the gateway's own requests are part of the call that needs them", async () => {
    const telemetry = recordTelemetry()
    const [a, b] = [
      await startScriptedHttp({ name: 'a', tools: ['t'] }),
      await startScriptedHttp({ name: 'b', tools: ['t'] }),
    ]
    const { url } = await startGateway({ servers: { a: { url: a.url }, b: { url: b.url } } })
    const session = await RawSession.open(url)
    await session.request('tools/list', { _meta: { traceparent } })
    const spans = telemetry.spans()
    const incoming = named(spans, SpanKind.SERVER, 'tools/list')
    const lists = spans.filter((span) => span.kind === SpanKind.CLIENT && span.name === 'tools/list')
    expect(lists.map(({ attributes }) => attributes['sallyport.upstream.name']).toSorted()).toEqual([
      'a',
      'b',
    ])
    for (const span of lists) {
      expect(span.parentSpanContext?.spanId).toBe(incoming.spanContext().spanId)
      const server = span.attributes['sallyport.upstream.name'] === 'a' ? a : b
      const [message] = server.messages('tools/list')
      expect(at(message, 'params', '_meta', 'traceparent')).toBe(nameOf(span))
    }
  })

  it('do not get in the way of what the gateway and interceptors change in a message', async () => {
    recordTelemetry()
    const server = await startScriptedHttp({
      name: 's',
      tools: ['t'],
      on: { 'completion/complete': () => ({ completion: { values: [] } }) },
    })
    const { url } = await startGateway({
      servers: { s: { url: server.url } },
      interceptors: [
        {
          name: 'adds',
          request: (_context, call) =>
            call.method === 'tools/call' ? { ...call, params: { ...call.params, added: true } } : call,
        },
      ],
    })
    const plain = await startGateway({ servers: { s: { url: server.url } } })
    const ref = (name: string) => ({ ref: { type: 'ref/prompt', name }, argument: { name: 'x', value: 'y' } })
    for (const { url: each } of [{ url }, plain]) {
      const session = await RawSession.open(each)
      await session.request('completion/complete', { ...ref('s__p'), _meta: { progressToken: 1 } })
      expect(server.messages('completion/complete').at(-1)).toMatchObject({
        params: { ...ref('p'), _meta: { progressToken: 1, traceparent: expect.any(String) } },
      })
    }
    const session = await RawSession.open(url)
    await session.call('s__t', { a: 1 }, { _meta: { traceparent } })
    expect(server.messages('tools/call').at(-1)).toMatchObject({
      params: { name: 't', added: true, _meta: { traceparent: expect.stringMatching(traceId) } },
    })
  })

  it('say what went wrong, and where', async () => {
    const telemetry = recordTelemetry()
    const server = await startScriptedHttp({
      name: 's',
      tools: ['bad', 'fail', 'hang'],
      call: (turn, tool): Promise<Json> | Json => {
        if (tool === 'bad') return { ...text('no'), isError: true }
        if (tool === 'hang') return turn.silence()
        throw new RpcFailure(-32005, 'not today')
      },
    })
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    await session.call('s__bad')
    await session.call('s__fail')
    await session.call('nobody__x')
    void session.start('tools/call', { name: 's__hang' }, 'h').catch(() => {})
    await until(() => expect(server.messages('tools/call').length).toBe(3))
    await session.notify('notifications/cancelled', { requestId: 'h' })
    const ends = () =>
      telemetry
        .spans()
        .filter(({ name }) => name.startsWith('tools/call'))
        .map(({ kind, name, attributes, status }) =>
          [
            SpanKind[kind],
            name,
            attributes['error.type'],
            attributes['rpc.response.status_code'] ?? '-',
            SpanStatusCode[status.code],
          ].join(' '),
        )
    await until(() => expect(ends().length).toBe(7))
    expect(ends().toSorted()).toEqual([
      'CLIENT tools/call bad tool_error - ERROR',
      'CLIENT tools/call fail -32005 -32005 ERROR',
      'CLIENT tools/call hang cancelled - ERROR',
      'SERVER tools/call nobody__x -32602 -32602 ERROR',
      'SERVER tools/call s__bad tool_error - ERROR',
      'SERVER tools/call s__fail -32005 -32005 ERROR',
      'SERVER tools/call s__hang cancelled - ERROR',
    ])
  })

  it('that are not sampled are named all the same, and say that they are not', async () => {
    const telemetry = recordTelemetry(new AlwaysOffSampler())
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    await session.call('s__t', {}, { _meta: { traceparent } })
    const sent = at(server.messages('tools/call')[0], 'params', '_meta', 'traceparent')
    expect(sent).toMatch(new RegExp(`^00-${traceId}-(?!${callersSpan})[0-9a-f]{16}-00$`))
    expect(telemetry.spans()).toEqual([])
  })

  it('are not made up where the application has set up no provider', async () => {
    using _telemetry = createOpenTelemetry()
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    await session.call('s__t', {}, { _meta: { traceparent } })
    await session.call('s__t')
    const sent = server.messages('tools/call').map((message) => at(message, 'params', '_meta'))
    expect(sent).toEqual([{ traceparent }, undefined])
  })

  it('leave a message alone as soon as nobody records any more', async () => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    await session.call('s__t', {}, { _meta: { traceparent } })
    await session.request('tools/list', { _meta: { traceparent } })
    const [call] = server.messages('tools/call')
    expect(at(call, 'params', '_meta')).toEqual({ traceparent })
    const [list] = server.messages('tools/list')
    expect(at(list, 'params', '_meta')).toBeUndefined()
  })
})

describe('metrics', () => {
  it('count durations by method, tool and server, and let clients make up no names', async () => {
    const telemetry = recordTelemetry()
    const server = await startScriptedHttp({
      name: 's',
      tools: ['t'],
      call: (_turn, tool) => {
        if (tool !== 't') throw new RpcFailure(-32602, 'Unknown tool')
        return text('done')
      },
    })
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    await session.call('s__t')
    await session.call('s__t')
    await session.call('s__made_up_1')
    await session.call('s__made_up_2')
    await session.request('made/up', {})
    await session.end()

    const served = await telemetry.histogram('mcp.server.operation.duration')
    const series = served.dataPoints.map(({ attributes, value }) => ({ ...attributes, count: value.count }))
    expect(served.descriptor.unit).toBe('s')
    expect(series).toContainEqual({
      'mcp.method.name': 'tools/call',
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': 's__t',
      'mcp.protocol.version': '2025-11-25',
      'sallyport.upstream.name': 's',
      count: 2,
    })
    expect(series).toContainEqual({
      'mcp.method.name': 'tools/call',
      'gen_ai.operation.name': 'execute_tool',
      'error.type': '-32602',
      'rpc.response.status_code': '-32602',
      'sallyport.upstream.name': 's',
      count: 2,
    })
    expect(JSON.stringify(series)).not.toMatch(/made/)
    expect(series).toContainEqual(expect.objectContaining({ 'mcp.method.name': '_OTHER', count: 1 }))
    const called = await telemetry.histogram('mcp.client.operation.duration')
    expect(called.dataPoints.map(({ attributes }) => attributes)).toContainEqual(
      expect.objectContaining({
        'gen_ai.tool.name': 't',
        'network.transport': 'tcp',
        'server.port': server.port,
      }),
    )
    const sessions = await telemetry.histogram('mcp.server.session.duration')
    expect(sessions.dataPoints.map(({ attributes, value }) => [attributes, value.count])).toEqual([
      [{ 'mcp.protocol.version': '2025-11-25' }, 1],
    ])
  })
})

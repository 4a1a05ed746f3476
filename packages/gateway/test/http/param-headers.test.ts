import { PassThrough } from 'node:stream'
import { afterEach, describe, expect, test } from 'vitest'
import type { GatewayInterceptor } from '@sallyport/core'
import { createGateway, type GatewayOptions } from '../../src/index.ts'
import { serveStdio } from '../../src/stdio/index.ts'
import { scriptedRuntime } from '../flow/scripted-runtime.ts'
import { RpcFailure, text } from '../flow/scripted-server.ts'
import { at, send, until } from './client.ts'
import { startGateway } from './gateway.ts'
import { callTool, envelope } from './messages.ts'
import { type Exchange, startHandmade } from './upstream.ts'

const cleanUp: (() => unknown)[] = []
afterEach(async () => {
  for (const run of cleanUp.splice(0).toReversed()) await run()
})

const annotated = (header: string) => ({ type: 'string', 'x-mcp-header': header })
const query = (header: string) => ({
  name: 'query',
  inputSchema: { type: 'object', properties: { region: annotated(header), sql: { type: 'string' } } },
})

/** A server on HTTP that insists on its headers, as servers of the modern era have to. */
async function insisting() {
  let header = 'Region'
  const server = await startHandmade({
    handle: (exchange: Exchange) => {
      const { headers, message } = exchange
      if (exchange.rpcMethod === 'tools/list') {
        exchange.result({ resultType: 'complete', tools: [query(header)], ttlMs: 0, cacheScope: 'private' })
        return
      }
      const region = at(message, 'params', 'arguments', 'region')
      const got = headers[`mcp-param-${header.toLowerCase()}`]
      const decoded =
        typeof got === 'string' && got.startsWith('=?base64?')
          ? Buffer.from(got.slice(9, -2), 'base64').toString()
          : got
      if (decoded !== region) exchange.error(400, -32020, `Header mismatch: ${String(got)}`)
      else exchange.result({ resultType: 'complete', content: [{ type: 'text', text: String(got) }] })
    },
  })
  cleanUp.push(() => server.close())
  const calls = (method: string) => server.all.filter(({ rpcMethod }) => rpcMethod === method)
  return { server, calls, rename: (next: string) => void (header = next) }
}

function onStdio(options: GatewayOptions, server?: string) {
  const gateway = createGateway(options)
  const input = new PassThrough()
  const output = new PassThrough()
  const said: unknown[] = []
  let rest = ''
  output.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) said.push(JSON.parse(line))
  })
  const connection = serveStdio(gateway, { input, output, ...(server !== undefined && { server }) })
  cleanUp.push(async () => {
    input.end()
    await gateway.close({ deadlineMs: 0 })
    await connection.closed
  })
  let next = 0
  return async (name: string, values: object) => {
    const id = ++next
    const params = { name, arguments: values, _meta: envelope }
    input.write(`${JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params })}\n`)
    await until(() => said.some((it) => at(it, 'id') === id), 'an answer')
    return said.find((it) => at(it, 'id') === id)
  }
}

const textIn = (answer: unknown) => at(answer, 'result', 'content', 0, 'text')

describe('a server on HTTP gets the headers that its tools ask for', () => {
  test.each([true, false])('from a client on stdio (aggregated: %s)', async (aggregated) => {
    const { server, calls } = await insisting()
    const call = onStdio({ servers: { s: { url: server.url } } }, aggregated ? undefined : 's')
    const name = aggregated ? 's__query' : 'query'
    expect(textIn(await call(name, { region: 'us-west1', sql: 'x' }))).toBe('us-west1')
    expect(textIn(await call(name, { region: 'mitte-süd' }))).toBe('=?base64?bWl0dGUtc8O8ZA==?=')
    expect(at(await call(name, { sql: 'x' }), 'result')).toBeDefined()
    expect(calls('tools/list')).toHaveLength(1)
    expect(calls('tools/call')).toHaveLength(3)
  })

  test('also after it has changed its tools, with one look at them and one more try', async () => {
    const { server, calls, rename } = await insisting()
    const call = onStdio({ servers: { s: { url: server.url } } }, 's')
    expect(textIn(await call('query', { region: 'a' }))).toBe('a')
    rename('Zone')
    expect(textIn(await call('query', { region: 'b' }))).toBe('b')
    expect(calls('tools/list')).toHaveLength(2)
    expect(calls('tools/call')).toHaveLength(3)
    expect(textIn(await call('query', { region: 'c' }))).toBe('c')
    expect(calls('tools/list')).toHaveLength(2)
  })

  test('a server that is never content is asked twice, not for ever', async () => {
    const server = await startHandmade({
      handle: (exchange) => {
        if (exchange.rpcMethod === 'tools/list') exchange.result({ tools: [query('Region')] })
        else exchange.error(400, -32020, 'Header mismatch: never right')
      },
    })
    cleanUp.push(() => server.close())
    const call = onStdio({ servers: { s: { url: server.url } } }, 's')
    expect(at(await call('query', { region: 'a' }), 'error', 'code')).toBe(-32020)
    expect(server.all.filter(({ rpcMethod }) => rpcMethod === 'tools/call')).toHaveLength(2)
  })

  test('one that does not tell its tools gets the call as it is', async () => {
    const server = await startHandmade({
      handle: (exchange) => {
        if (exchange.rpcMethod === 'tools/list') exchange.error(200, -32603, 'no')
        else exchange.result({ content: [{ type: 'text', text: 'fine' }] })
      },
    })
    cleanUp.push(() => server.close())
    const call = onStdio({ servers: { s: { url: server.url } } }, 's')
    expect(textIn(await call('query', { region: 'a' }))).toBe('fine')
  })

  test('for the arguments that an interceptor has put in place of the client’s', async () => {
    const { server, calls } = await insisting()
    const moving: GatewayInterceptor = {
      name: 'moving',
      request: (_, call) => ({ ...call, params: { ...call.params, arguments: { region: 'eu' } } }),
    }
    const running = await startGateway({ servers: { s: { url: server.url } }, interceptors: [moving] })
    cleanUp.push(() => running.close())
    const request = callTool('query', { region: 'us' })
    const headers = { ...request.headers, 'mcp-param-region': 'us' }
    const answer = await send(running.at('s'), { ...request, headers })
    expect(textIn(answer.json)).toBe('eu')
    expect(
      calls('tools/call')
        .at(-1)
        ?.rawHeaders.filter((it) => /^mcp-param/i.test(it)),
    ).toHaveLength(1)
  })

  test('what passes from HTTP to HTTP is not looked at', async () => {
    const { server, calls } = await insisting()
    const running = await startGateway({ servers: { s: { url: server.url } } })
    cleanUp.push(() => running.close())
    const request = callTool('query', { region: 'us' })
    const right = await send(running.at('s'), {
      ...request,
      headers: { ...request.headers, 'mcp-param-region': 'us' },
    })
    expect(textIn(right.json)).toBe('us')
    const missing = await send(running.at('s'), request)
    expect(missing.status).toBe(400)
    expect(at(missing.json, 'error', 'code')).toBe(-32020)
    expect(calls('tools/list')).toEqual([])
  })
})

describe('a server on stdio never sees headers, so the gateway compares them', () => {
  async function piped() {
    const runtime = scriptedRuntime({
      pipe: {
        name: 'pipe',
        tools: [query('Region')],
        call: ({ params }) => text(String(at(params, 'arguments', 'region'))),
        on: {
          'server/discover': () => ({
            resultType: 'complete',
            supportedVersions: ['2026-07-28'],
            capabilities: { tools: {} },
            ttlMs: 0,
            cacheScope: 'private',
          }),
          initialize: () => {
            throw new RpcFailure(-32601, 'Method not found')
          },
        },
      },
    })
    const running = await startGateway({ servers: { pipe: { command: 'pipe' } }, runtime })
    cleanUp.push(() => running.close())
    await running.gateway.ready()
    const calls = () => runtime.of('pipe').flatMap((process) => process.messages('tools/call'))
    const lists = () => runtime.of('pipe').flatMap((process) => process.messages('tools/list'))
    const call = (path: string, name: string, more: Record<string, string>) => {
      const request = callTool(name, { region: 'us' })
      return send(path, { ...request, headers: { ...request.headers, ...more } })
    }
    return { running, calls, lists, call }
  }

  test.each([true, false])('with the arguments (aggregated: %s)', async (aggregated) => {
    const { running, calls, call } = await piped()
    const path = aggregated ? running.url : running.at('pipe')
    const name = aggregated ? 'pipe__query' : 'query'
    for (const wrong of ['eu', '=?base64?!?=']) {
      const refused = await call(path, name, { 'mcp-param-region': wrong })
      expect(refused.status).toBe(400)
      expect(refused.json).toMatchObject({ id: 1, error: { code: -32020 } })
    }
    expect(calls()).toEqual([])
    const right = await call(path, name, { 'mcp-param-region': '=?base64?dXM=?=', 'mcp-param-other': 'x' })
    expect(textIn(right.json)).toBe('us')
    // the tools are known now, and so is that a header is missing
    expect((await call(path, name, {})).status).toBe(400)
    expect(calls()).toHaveLength(1)
  })

  test('without asking the server for its tools where no client uses such headers', async () => {
    const { running, calls, lists, call } = await piped()
    expect(textIn((await call(running.at('pipe'), 'query', {})).json)).toBe('us')
    expect(calls()).toHaveLength(1)
    expect(lists()).toEqual([])
  })
})

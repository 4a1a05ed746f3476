import { connect } from 'node:net'
import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { at, send, sendRaw, until } from './client.ts'
import { type RunningGateway, startGateway } from './gateway.ts'
import { callTool, envelope, jsonHeaders, modern, openSession, withBody } from './messages.ts'
import { type HandmadeUpstream, startHandmade } from './upstream.ts'

const megabyte = 1024 * 1024
const audit = createMemoryAuditRecorder({ capacity: 50 })
let modernServer: HandmadeUpstream
let legacyServer: HandmadeUpstream
let running: RunningGateway

beforeAll(async () => {
  modernServer = await startHandmade()
  legacyServer = await startHandmade({ era: 'legacy' })
  running = await startGateway({
    servers: { m: { url: modernServer.url }, l: { url: legacyServer.url } },
    audit,
  })
  await running.gateway.ready()
})
afterAll(async () => {
  await running.close()
  await modernServer.close()
  await legacyServer.close()
})

/** Sends a body that has to be refused, and checks that nothing of it went further. */
async function refused(body: string | Buffer, status: number, code: number): Promise<unknown> {
  const before = modernServer.arrived.length + legacyServer.arrived.length
  const answer = await send(running.at('m'), withBody(callTool('echo'), body))
  expect({ status: answer.status, code: at(answer.json, 'error', 'code') }).toEqual({ status, code })
  expect(at(answer.json, 'jsonrpc')).toBe('2.0')
  expect(modernServer.arrived.length + legacyServer.arrived.length).toBe(before)
  expect(audit.entries().at(-1)).toMatchObject({ outcome: { status: 'refused', code } })
  return answer.json
}

describe('what is not JSON', () => {
  test.each([
    ['nothing', ''],
    ['blanks', '  \n'],
    ['half a message', '{"jsonrpc":"2.0","id":1,"method":"tools/call"'],
    ['half an array', '[{"jsonrpc":"2.0"}'],
    ['a trailing comma', '{"jsonrpc":"2.0","id":1,"method":"tools/call",}'],
    ['single quotes', "{'jsonrpc':'2.0'}"],
    ['two messages', '{"jsonrpc":"2.0","id":1,"method":"a"}{"jsonrpc":"2.0","id":2,"method":"b"}'],
    ['a comment', '{"jsonrpc":"2.0","id":1,"method":"a"}//'],
    ['NaN', '{"jsonrpc":"2.0","id":NaN,"method":"a"}'],
    ['a byte order mark', '\ufeff{"jsonrpc":"2.0","id":1,"method":"a"}'],
    ['a line break inside a string', '{"jsonrpc":"2.0","id":1,"method":"a\nb"}'],
    ['UTF-16', Buffer.from('{"jsonrpc":"2.0","id":1,"method":"a"}', 'utf16le')],
    ['half a character', Buffer.from('7b2261223a22e4b8227d', 'hex')],
    ['an overlong character', Buffer.from('7b2261223a22c0af227d', 'hex')],
    ['half a surrogate pair in bytes', Buffer.from('7b2261223a22eda080227d', 'hex')],
    ['invalid UTF-8 inside a batch', Buffer.from('5b7b2261223a22ff227d5d', 'hex')],
  ])('%s: -32700, HTTP 400, no id', async (_, body) => {
    expect(at(await refused(body, 400, -32700), 'id')).toBeUndefined()
  })
})

describe('what is JSON but no message', () => {
  test.each([
    ['a number', '1'],
    ['a string', '"tools/call"'],
    ['null', 'null'],
    ['an empty object', '{}'],
    ['no version', '{"id":1,"method":"a"}'],
    ['version 1.0', '{"jsonrpc":"1.0","id":1,"method":"a"}'],
    ['a number as version', '{"jsonrpc":2.0,"id":1,"method":"a"}'],
    ['a number as method', '{"jsonrpc":"2.0","id":1,"method":7}'],
    ['null as method', '{"jsonrpc":"2.0","id":1,"method":null}'],
    ['positional params', '{"jsonrpc":"2.0","id":1,"method":"a","params":[]}'],
    ['null as params', '{"jsonrpc":"2.0","id":1,"method":"a","params":null}'],
    ['text as params', '{"jsonrpc":"2.0","id":1,"method":"a","params":"b"}'],
    ['neither request nor response', '{"jsonrpc":"2.0","id":1}'],
    ['result and error', '{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}'],
    ['a response to nothing', '{"jsonrpc":"2.0","result":{}}'],
    ['a batch without messages', '[]'],
    ['a batch of 101', `[${Array.from({ length: 101 }, () => '{"jsonrpc":"2.0","method":"a"}').join()}]`],
  ])('%s: -32600', async (_, body) => {
    await refused(body, 400, -32600)
  })

  test.each(['null', 'true', 'false', '{}', '[]', '[1]', '{"a":1}'])('%s as id: -32600', async (id) => {
    const json = await refused(`{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{}}`, 400, -32600)
    expect(at(json, 'id')).toBeUndefined()
  })
})

describe('names that occur twice', () => {
  const call = (params: string) => `{"jsonrpc":"2.0","id":5,"method":"tools/call","params":${params}}`
  const meta = JSON.stringify(envelope)
  test.each([
    ['the method', '{"jsonrpc":"2.0","id":5,"method":"tools/list","method":"tools/call","params":{}}'],
    ['the params', '{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{},"params":{"name":"echo"}}'],
    ['the tool', call(`{"name":"harmless","name":"echo","_meta":${meta}}`)],
    ['the tool, spelled differently', call(`{"name":"harmless","n\\u0061me":"echo","_meta":${meta}}`)],
    ['the arguments', call(`{"name":"echo","arguments":{},"arguments":{"a":1},"_meta":${meta}}`)],
    ['the envelope', call(`{"name":"echo","_meta":${meta},"_meta":{}}`)],
    ['a field of the envelope', call(`{"name":"echo","_meta":{"a":1,"a":2}}`)],
    ['a field that nobody knows', '{"jsonrpc":"2.0","x":1,"id":5,"method":"a","x":2}'],
  ])('%s: -32600 with the id', async (_, body) => {
    expect(at(await refused(body, 400, -32600), 'id')).toBe(5)
  })

  test('inside arguments they are the business of the server', async () => {
    const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":1,"a":2},"_meta":${meta}}}`
    const answer = await send(running.at('m'), withBody(callTool('echo'), body))
    expect(answer.status).toBe(200)
    expect(modernServer.arrived.at(-1)?.text).toBe(body)
  })
})

describe('nesting', () => {
  const nested = (depth: number) =>
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":${JSON.stringify(envelope)},"arguments":${'['.repeat(depth)}${']'.repeat(depth)}}}`

  test('up to the limit is passed on', async () => {
    const answer = await send(running.at('m'), withBody(callTool('echo'), nested(126)))
    expect(answer.status).toBe(200)
    expect(modernServer.arrived.at(-1)?.text).toBe(nested(126))
  })

  test.each([127, 10_000, 500_000])('%i levels more are refused', async (depth) => {
    await refused(nested(depth), 400, -32600)
  })

  test('an array that is nothing but depth is refused', async () => {
    const answer = await send(
      running.at('m'),
      withBody(callTool('echo'), '['.repeat(300_000) + ']'.repeat(300_000)),
    )
    expect(answer.status).toBe(400)
  })
})

describe('ids come back as they were written', () => {
  const ids = [
    '"a"',
    '""',
    '"\\u0041\\"\\\\ 世界"',
    '0',
    '-0',
    '-7',
    '1.50',
    '1e3',
    '12345678901234567890123',
    '9007199254740993',
    '1e400',
    '-1E-7',
    '"1"',
  ]
  const request = (method: string, id: string, params: string) =>
    `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params}}`
  const idIn = (text: string) => /"id":("(?:[^"\\]|\\.)*"|[^,}]+)/.exec(text)?.[1]

  test.each(ids)('%s, by a server of the modern era', async (id) => {
    const params = JSON.stringify({ name: 'echo', _meta: envelope })
    const answer = await send(running.at('m'), withBody(callTool('echo'), request('tools/call', id, params)))
    expect(answer.status).toBe(200)
    expect(idIn(answer.text)).toBe(id)
    expect(idIn(modernServer.arrived.at(-1)?.text ?? '')).toBe(id)
  })

  test.each(ids)('%s, by a server of the legacy era', async (id) => {
    const session = await openSession(running.at('l'))
    const answer = await session.post(request('tools/call', id, '{"name":"echo"}'))
    expect(idIn(answer.text)).toBe(id)
    expect(idIn(legacyServer.arrived.at(-1)?.text ?? '')).toBe(id)
  })

  test.each(ids)('%s, when the gateway refuses', async (id) => {
    const url = running.at('m')
    const mismatch = await send(url, withBody(modern('tools/list'), request('prompts/list', id, '{}')))
    expect(mismatch.status).toBe(400)
    expect(idIn(mismatch.text)).toBe(id)
    const twice = await send(
      url,
      withBody(modern('a'), `{"jsonrpc":"2.0","id":${id},"method":"a","a":1,"a":2}`),
    )
    expect(idIn(twice.text)).toBe(id)
    const lost = await send(url, {
      headers: { ...jsonHeaders, 'mcp-session-id': 'none' },
      body: request('tools/list', id, '{}'),
    })
    expect(lost.status).toBe(404)
    expect(idIn(lost.text)).toBe(id)
    const impatient = await send(url, {
      headers: { 'content-type': 'application/json', accept: 'image/png' },
      body: request('tools/list', id, '{}'),
    })
    expect(impatient.status).toBe(406)
    expect(idIn(impatient.text)).toBe(id)
  })
})

describe('names that mean something to JavaScript', () => {
  const hostile = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":1}'

  test('survive as data and harm nothing', async () => {
    const body = `{"jsonrpc":"2.0","id":1,"__proto__":{"method":"x"},"method":"tools/call","params":{"__proto__":{"name":"evil"},"name":"echo","_meta":{"__proto__":{"a":1},${JSON.stringify(envelope).slice(1)},"arguments":${hostile}}}`
    const answer = await send(running.at('m'), withBody(callTool('echo'), body))
    expect(answer.status).toBe(200)
    expect(modernServer.arrived.at(-1)?.text).toBe(body)
    expect(at({}, 'polluted')).toBeUndefined()
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
  })

  test('are no shortcut to a method, a tool or a server', async () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expect((await send(running.at(name), modern('tools/list'))).status).toBe(404)
      const unknown = await send(running.url, modern(name))
      expect(at(unknown.json, 'error', 'code')).toBeDefined()
      expect((await send(running.at('m'), modern(name))).status).toBe(200)
      const tool = await send(running.url, callTool(name))
      expect(at(tool.json, 'error', 'code')).toBeDefined()
    }
  })

  test('survive in the params of a handshake and of a completion', async () => {
    const session = await openSession(running.at('l'), {
      capabilities: { ['__proto__x']: {}, experimental: {} },
    })
    const ref = '{"type":"ref/prompt","name":"p","__proto__":{"x":1}}'
    await session.post(
      `{"jsonrpc":"2.0","id":3,"method":"completion/complete","params":{"ref":${ref},"argument":{"name":"a","value":"b"}}}`,
    )
    expect(legacyServer.arrived.at(-1)?.text).toContain(ref)
  })
})

describe('bodies that are too large', () => {
  /** Sends a body in pieces of 64 KB and gives back what the connection said; the same connection then carries on. */
  async function upload(bytes: number, chunked: boolean): Promise<{ text: string; reused: boolean }> {
    const socket = connect(running.port, '127.0.0.1')
    let text = ''
    let closed = false
    socket.on('data', (data) => (text += data.toString('latin1')))
    socket.on('error', () => {})
    socket.on('close', () => (closed = true))
    const head = (length: string) =>
      `POST /mcp/m HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n${length}\r\n\r\n`
    socket.write(head(chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${bytes}`))
    const piece = Buffer.alloc(64 * 1024, 'x')
    const frame = chunked
      ? Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')])
      : piece
    for (let sent = 0; sent < bytes && !closed; sent += piece.length) {
      if (!socket.write(frame))
        await until(() => closed || !socket.writableNeedDrain, 'room for more', 10_000)
    }
    if (!closed && chunked) socket.write('0\r\n\r\n')
    await until(() => text.includes('\r\n\r\n') || closed, 'an answer', 10_000)
    const first = text
    const next = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/x', params: { _meta: envelope } })
    if (!closed) socket.write(`${head(`Content-Length: ${next.length}`)}${next}`)
    await until(() => closed || text.length > first.length, 'a second answer', 10_000)
    socket.destroy()
    return { text: first, reused: text.slice(first.length).startsWith('HTTP/1.1 202') }
  }

  test.each([
    [10, false],
    [10, true],
    [100, false],
    [100, true],
  ])('%i MB (chunked: %s): 413, little memory, and the connection goes on', async (size, chunked) => {
    const before = process.memoryUsage.rss()
    const { text, reused } = await upload(size * megabyte, chunked)
    expect(text).toMatch(/^HTTP\/1\.1 413 /)
    expect(text).toContain('"code":-32600')
    expect(reused).toBe(true)
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * megabyte)
    expect(modernServer.arrived.some((arrival) => arrival.text.includes('xxxx'))).toBe(false)
  })

  test('a body at the limit is taken, one byte more is not', async () => {
    const small = await startGateway({
      servers: { m: { url: modernServer.url } },
      limits: { bodyBytes: 1_000 },
    })
    try {
      const fill = (bytes: number) => {
        const base = callTool('echo', { pad: '' }).body
        return callTool('echo', { pad: 'x'.repeat(bytes - base.length) })
      }
      expect((await send(small.at('m'), fill(1_000))).status).toBe(200)
      expect((await send(small.at('m'), fill(1_001))).status).toBe(413)
      const chunked = { 'transfer-encoding': 'chunked' }
      const long = fill(1_001)
      expect((await send(small.at('m'), { ...long, headers: { ...long.headers, ...chunked } })).status).toBe(
        413,
      )
    } finally {
      await small.close()
    }
  })

  test('a length that the body does not have ends in an answer or a closed connection', async () => {
    const head = 'POST /mcp/m HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n'
    for (const length of ['-1', '1e3', '0x10', '99999999999999999999', 'x']) {
      const text = await sendRaw(running.port, `${head}Content-Length: ${length}\r\n\r\n{}`)
      expect(text).toMatch(/^HTTP\/1\.1 4\d\d /)
    }
  })
})

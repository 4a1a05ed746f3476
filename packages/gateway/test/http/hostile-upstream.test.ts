import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { at, openEvents, until } from './client.ts'
import { startPlanned } from './gateway.ts'
import { envelope, modern, responseIn } from './messages.ts'
import { type Exchange } from './upstream.ts'

const { running, plan, answered, answeredInSession, nextCase, close } = await startPlanned()
afterAll(close)

const errorText = (code: number) => `{"jsonrpc":"2.0","id":1,"error":{"code":${code},"message":"no"}}`
const resultText = '{"jsonrpc":"2.0","id":1,"result":{"x":1}}'

describe("a server's HTTP status", () => {
  test.each([
    [400, -32602, 400],
    [400, -32020, 400],
    [404, -32601, 404],
    [200, -32601, 200],
    [200, -32000, 200],
  ])('%i with %i means the same to the client', async (status, code, shown) => {
    const answer = await answered((exchange) => exchange.write(status, errorText(code)))
    expect(answer.status).toBe(shown)
    expect(at(answer.json, 'error', 'code')).toBe(code)
  })

  test.each([
    201, 202, 203, 206, 301, 307, 401, 403, 407, 409, 410, 413, 421, 426, 429, 431, 500, 502, 503, 511, 599,
  ])('%i is between the gateway and the server: the client gets the answer with 200', async (status) => {
    for (const answer of [
      await answered((exchange) =>
        exchange.write(status, errorText(-32000), {
          'www-authenticate': 'Bearer',
          location: 'http://127.0.0.1:1/',
          'retry-after': '9',
        }),
      ),
      await answeredInSession((exchange) =>
        exchange.write(status, errorText(-32000), { 'www-authenticate': 'Bearer' }),
      ),
    ]) {
      expect(answer.status).toBe(200)
      expect(at(responseIn(answer), 'error', 'code')).toBe(-32000)
      for (const name of ['www-authenticate', 'location', 'retry-after'])
        expect(answer.headers[name]).toBeUndefined()
    }
  })

  test.each([204, 205, 304])('%i leaves no answer: that is an error of the server', async (status) => {
    for (const answer of [
      await answered((exchange) => exchange.response.writeHead(status).end()),
      await answeredInSession((exchange) => exchange.response.writeHead(status).end()),
    ]) {
      expect(answer.status).toBe(200)
      expect(at(responseIn(answer), 'error', 'data', 'code')).toBe('ERR_UPSTREAM_PROTOCOL')
    }
  })

  test.each([
    ['no HTTP at all', 'hello\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 42 X\r\nContent-Length: 2\r\n\r\n{}'],
    ['a status of four digits', 'HTTP/1.1 2000 X\r\nContent-Length: 2\r\n\r\n{}'],
    [
      'status 000',
      `HTTP/1.1 000 X\r\nContent-Type: application/json\r\nContent-Length: ${resultText.length}\r\n\r\n${resultText}`,
    ],
    [
      'status 099',
      `HTTP/1.1 099 X\r\nContent-Type: application/json\r\nContent-Length: ${resultText.length}\r\n\r\n${resultText}`,
    ],
    [
      'status 999',
      `HTTP/1.1 999 X\r\nContent-Type: application/json\r\nContent-Length: ${resultText.length}\r\n\r\n${resultText}`,
    ],
    [
      'endless headers',
      `HTTP/1.1 200 OK\r\n${'X-Pad: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n'.repeat(20_000)}`,
    ],
    ['a body that is too short', 'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}'],
    [
      'a body that is too long',
      `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n${resultText}`,
    ],
    ['switching protocols', 'HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
    ['early hints only', 'HTTP/1.1 103 X\r\n\r\n'],
  ])('%s is answered, whatever it is', async (_, bytes) => {
    const answer = await answered((exchange) => exchange.response.socket?.end(bytes))
    expect(answer.status).toBe(200)
    expect(at(answer.json, 'id')).toBe(1)
  })
})

describe('a body that is not what it should be', () => {
  test.each([
    ['empty', ''],
    ['HTML', '<html><body>It works!</body></html>'],
    ['half a message', '{"jsonrpc":"2.0","id":1,"result":{'],
    ['text behind the message', `${resultText}x`],
    ['an empty object', '{}'],
    ['an empty list', '[]'],
    ['neither result nor error', '{"jsonrpc":"2.0","id":1}'],
    ['another id', '{"jsonrpc":"2.0","id":2,"result":{}}'],
    ['the id as text', '{"jsonrpc":"2.0","id":"1","result":{}}'],
    ['a byte order mark', `\ufeff${resultText}`],
    ['gzip', gzipSync(resultText)],
    ['NUL bytes', Buffer.alloc(1_000)],
  ])('%s: an error of the server, never of the gateway', async (_, body) => {
    for (const answer of [
      await answered((exchange) => exchange.write(200, body)),
      await answeredInSession((exchange) => exchange.write(200, body)),
    ]) {
      expect(answer.status).toBe(200)
      expect(at(responseIn(answer), 'error', 'data', 'code')).toBe('ERR_UPSTREAM_PROTOCOL')
      expect(at(responseIn(answer), 'id')).toBe(1)
    }
  })

  test.each([
    ['without an id', '{"jsonrpc":"2.0","error":{"code":-1,"message":"m"}}'],
    ['without an id, behind blanks', ' \r\n {"jsonrpc":"2.0","error":{"code":-1,"message":"m"}}'],
    ['with a blank behind the brace', '{ "jsonrpc":"2.0","error":{"code":-1,"message":"m"}}'],
    ['with null as id', '{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"m"}}'],
    ['with the id last', '{"jsonrpc":"2.0","error":{"code":-1,"message":"m"},"id":1}'],
    ['with the id spelled otherwise', '{"jsonrpc":"2.0","id":1.0,"error":{"code":-1,"message":"m"}}'],
    ['as the only one of a list', '[{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"m"}}]'],
    ['pretty-printed', JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -1, message: 'm' } }, null, 2)],
  ])('a response %s is understood', async (_, body) => {
    const answer = await answered((exchange) => exchange.write(200, body))
    expect(answer.json).toEqual({ jsonrpc: '2.0', id: 1, error: { code: -1, message: 'm' } })
  })

  test('members, numbers and order that nobody knows survive', async () => {
    const body =
      '{"result":{"z":1.50,"a":1e3,"big":12345678901234567890,"__proto__":{"x":1},"\\u0041":"\\u00e9"},"extra":[],"id":1,"jsonrpc":"2.0"}'
    expect((await answered((exchange) => exchange.write(200, body))).text).toBe(body)
  })

  test('deep nesting of lists keeps nobody busy', async () => {
    const startedAt = performance.now()
    const bombs = ['['.repeat(200_000) + ']'.repeat(200_000), '['.repeat(400_000), '[{"a":'.repeat(60_000)]
    for (const bomb of bombs) {
      const answer = await answered((exchange) => exchange.write(200, bomb))
      expect(at(answer.json, 'error', 'data', 'code')).toBe('ERR_UPSTREAM_PROTOCOL')
      const streamed = await answered((exchange) => {
        exchange.response.writeHead(200, { 'content-type': 'text/event-stream' })
        exchange.response.end(`data: ${bomb}\n\n`)
      })
      expect(at(streamed.json, 'error', 'data', 'code')).toBe('ERR_UPSTREAM_PROTOCOL')
    }
    expect(performance.now() - startedAt).toBeLessThan(5_000)
  })

  test.each(['application/json', 'text/event-stream'])(
    'an answer without end (%s) is cut off at the limit',
    async (type) => {
      let gone = false
      const answer = await answered(({ response }) => {
        response.writeHead(200, { 'content-type': type })
        response.on('close', () => (gone = true))
        const pour = () => {
          while (!gone && response.write('data\n'.repeat(10_000)));
          if (!gone) response.once('drain', pour)
        }
        pour()
      })
      expect(at(answer.json, 'error', 'data', 'code')).toBe('ERR_UPSTREAM_PROTOCOL')
      await until(() => gone, 'the gateway hung up')
    },
  )
})

describe('an event stream', () => {
  const streamOf = (text: string) => (exchange: Exchange) => {
    exchange.response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    exchange.response.end(text)
  }
  const progress = JSON.stringify({
    jsonrpc: '2.0',
    method: 'notifications/progress',
    params: { progressToken: 't', progress: 1 },
  })
  const withToken = { _meta: { ...envelope, progressToken: 't' } }

  test.each([
    ['carriage returns', `data: ${resultText}\r\r`],
    ['a byte order mark', `\ufeffdata: ${resultText}\n\n`],
    ['comments', `: hi\n\n:\ndata: ${resultText}\n\n`],
    ['many data lines', `data: {"jsonrpc":"2.0","id":1,\ndata: "result":{"x":1}}\n\n`],
    ['events of other types', `event: ping\ndata: x\n\nevent: message\ndata: ${resultText}\n\n`],
    ['nonsense before', `data: hello\n\ndata: {}\n\ndata: ${resultText}\n\n`],
    [
      'more after the response',
      `data: ${resultText}\n\ndata: ${progress}\n\ndata: {"jsonrpc":"2.0","id":1,"result":{"x":2}}\n\n`,
    ],
  ])('with %s is understood', async (_, text) => {
    const answer = await answered(streamOf(text))
    expect(at(responseIn(answer), 'result', 'x')).toBe(1)
    expect(answer.text).not.toContain('"x":2')
  })

  test('an event that is there is passed on, whatever line ends it uses', async () => {
    const name = nextCase()
    let finish: (() => void) | undefined
    plan.set(name, ({ response }) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(`data: ${progress}\r\r`)
      finish = () => response.end(`data: ${resultText}\r\r`)
    })
    const reader = await openEvents(running.at('m'), modern('tools/call', { name, ...withToken }))
    expect(at((await reader.message())?.json, 'params', 'progress')).toBe(1)
    finish?.()
    expect((await reader.message())?.json).toEqual(JSON.parse(resultText))
  })

  test('line breaks inside a message end no event of ours', async () => {
    const pretty = JSON.stringify(JSON.parse(progress), null, 2)
      .split('\n')
      .map((line) => `data: ${line}\n`)
      .join('')
    const answer = await answered(streamOf(`${pretty}\ndata: ${resultText}\n\n`), withToken)
    const lines = answer.text.split('\n').filter((line) => line !== '')
    expect(lines.every((line) => /^(?:event: message|data: \{.*\})$/.test(line))).toBe(true)
  })

  test('a request has no business there in the modern era', async () => {
    const question = '{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}}'
    const answer = await answered(streamOf(`data: ${question}\n\ndata: ${resultText}\n\n`))
    expect(answer.text).not.toContain('sampling')
    expect(at(responseIn(answer), 'result', 'x')).toBe(1)
  })

  test('one that ends without a response is an error of the server', async () => {
    for (const text of ['', ': hi\n\n', `data: ${progress}\n\n`, 'data: {"jsonrpc":"2.0","id":1,"res']) {
      const answer = await answered(streamOf(text))
      expect(at(responseIn(answer), 'error', 'data', 'code')).toBe('ERR_UPSTREAM_PROTOCOL')
    }
  })
})

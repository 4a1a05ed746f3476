import { describe, expect, it } from 'vitest'
import { type Expectation, checkBody, padding } from '../load/answer-check.ts'

const small: Expectation = { kind: 'echo', id: 7, message: 'message 7', paddingBytes: 0 }
const large: Expectation = { kind: 'echo', id: 7, message: 'message 7', paddingBytes: 100_000 }

function echo(id: number, text: string, extra = ''): string {
  return `{"jsonrpc":"2.0","id":${id},"result":{${extra}"content":[{"type":"text","text":${JSON.stringify(text)}}]}}`
}

describe('checkBody', () => {
  it('accepts the echo, whatever the order of its keys', () => {
    expect(checkBody(Buffer.from(echo(7, 'message 7')), false, small)).toBeUndefined()
    const reordered = '{"result":{"content":[{"text":"message 7","type":"text"}]},"id":7,"jsonrpc":"2.0"}'
    expect(checkBody(Buffer.from(reordered), false, small)).toBeUndefined()
  })

  it.each([
    ['another message', echo(7, 'message 8')],
    ['another id', echo(8, 'message 7')],
    ['the id as a string', echo(7, 'message 7').replace('"id":7', '"id":"7"')],
    ['a tool error', echo(7, 'message 7', '"isError":true,')],
    ['a JSON-RPC error', '{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"message 7"}}'],
    ['no content', '{"jsonrpc":"2.0","id":7,"result":{}}'],
    ['cut off', echo(7, 'message 7').slice(0, -1)],
    ['nothing', ''],
  ])('refuses %s', (_, body) => {
    expect(checkBody(Buffer.from(body), false, small)).toEqual(expect.any(String))
  })

  it('finds the answer among the events of a stream', () => {
    const progress = 'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\n\n'
    const stream = (id: number) =>
      `id: 1\ndata: \n\n${progress}event: message\r\ndata: ${echo(id, 'message 7')}\r\n\r\n`
    expect(checkBody(Buffer.from(stream(7)), true, small)).toBeUndefined()
    expect(checkBody(Buffer.from(stream(8)), true, small)).toContain('another id')
    expect(checkBody(Buffer.from(progress), true, small)).toContain('without an answer')
  })

  it('compares every byte of a large answer', () => {
    const text = `message 7${padding(100_000).toString()}`
    const body = Buffer.from(echo(7, text))
    expect(checkBody(body, false, large)).toBeUndefined()
    expect(checkBody(Buffer.from(echo(8, text)), false, large)).toContain('another id')
    expect(checkBody(Buffer.from(echo(7, text.slice(0, -1))), false, large)).toEqual(expect.any(String))
    expect(checkBody(Buffer.from(echo(7, `${text}!`)), false, large)).toEqual(expect.any(String))
    const flipped = Buffer.from(body)
    flipped[60_000] = 0x5f
    expect(checkBody(flipped, false, large)).toEqual(expect.any(String))
  })

  it('counts the tools of a list', () => {
    const body = Buffer.from('{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"echo"}]}}')
    expect(checkBody(body, false, { kind: 'tools', id: 7, toolCount: 1 })).toBeUndefined()
    expect(checkBody(body, false, { kind: 'tools', id: 7, toolCount: 2 })).toContain('1 tools')
  })
})

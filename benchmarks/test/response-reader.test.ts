import { describe, expect, it } from 'vitest'
import { ResponseReader } from '../load/response-reader.ts'

function readAll(bytes: Buffer, pieceLength: number): string[] {
  const seen: string[] = []
  const reader = new ResponseReader({
    onResponse: ({ status, headers, body }) =>
      seen.push(`${status} ${headers.get('x-note') ?? '-'} ${body.toString()}`),
  })
  for (let at = 0; at < bytes.length; at += pieceLength) reader.push(bytes.subarray(at, at + pieceLength))
  return seen
}

const responses = Buffer.from(
  [
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Note: one\r\n\r\nhello',
    'HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwide\r\nA;ext=1\r\n and deep \r\n0\r\nTrailer: x\r\n\r\n',
    'HTTP/1.1 204 No Content\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Note: one\r\n\r\nagain',
  ].join(''),
)
const expected = ['200 one hello', '202 - ', '200 - wide and deep ', '204 - ', '200 one again']

describe('ResponseReader', () => {
  it.each([1, 2, 3, 7, 20, 64, 10_000])('reads the same responses from pieces of %i bytes', (pieceLength) => {
    expect(readAll(responses, pieceLength)).toEqual(expected)
  })

  it('leaves a body without a length open until the connection ends', () => {
    const seen: string[] = []
    const reader = new ResponseReader({ onResponse: ({ body }) => seen.push(body.toString()) })
    reader.push(Buffer.from('HTTP/1.1 200 OK\r\n\r\nto the '))
    reader.push(Buffer.from('end'))
    expect(reader.endsAtClose).toBe(true)
    expect(seen).toEqual([])
    reader.end()
    expect(seen).toEqual(['to the end'])
  })

  it('hands a stream over piece by piece', () => {
    const pieces: string[] = []
    const reader = new ResponseReader({
      onResponse: () => pieces.push('(end)'),
      onStreamChunk: (chunk) => pieces.push(chunk.toString()),
    })
    reader.push(Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'))
    reader.push(Buffer.from('2\r\nde\r\n0\r\n\r\n'))
    expect(pieces).toEqual(['abc', 'de', '(end)'])
  })

  it.each([
    ['HTTP/2 200\r\n\r\n', 'not a final HTTP/1.1 response'],
    ['HTTP/1.1 100 Continue\r\n\r\n', 'not a final HTTP/1.1 response'],
    ['HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n', 'content-length is not a number'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 'chunk size is not a number'],
  ])('throws on %j', (text, message) => {
    expect(() => readAll(Buffer.from(text), 1000)).toThrow(message)
  })
})

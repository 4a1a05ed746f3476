import { PassThrough } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import type { ServerExit, ServerRuntime } from '@sallyport/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { startGateway } from '../flow/harness.ts'
import { at, type Json, RawSession } from '../flow/raw-client.ts'
import { startScriptedHttp } from '../flow/scripted-http.ts'
import { type JsonText, jsonText } from '../wire/json-text.ts'

/** What a server says to one call, and where its bytes are cut. */
interface Saying {
  readonly notices: readonly JsonText[]
  readonly result: JsonText
  readonly cuts: readonly number[]
  readonly end: string
}

const saying: fc.Arbitrary<Saying> = fc.record({
  notices: fc.array(jsonText, { maxLength: 3 }),
  result: jsonText,
  cuts: fc.array(fc.nat(), { maxLength: 6 }),
  end: fc.constantFrom('\n', '\r\n'),
})

const silent: Saying = { notices: [], result: { text: 'null', depth: 0 }, cuts: [], end: '\n' }

function pieces(text: string, cuts: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text)
  const places = cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b)
  return [...places, bytes.length].map((place, index) => bytes.subarray(places[index - 1] ?? 0, place))
}

function messagesOf({ notices, result }: Saying, id: unknown): string[] {
  const flat = (text: string) => text.replaceAll(/[\n\r]/g, ' ')
  return [
    ...notices.map(
      ({ text }) => `{"jsonrpc":"2.0","method":"notifications/message","params":{"data":${flat(text)}}}`,
    ),
    `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{"value":${flat(result.text)}}}`,
  ]
}

async function expectAll(session: RawSession, name: string, said: Saying): Promise<void> {
  const stream = await session.start('tools/call', { name })
  await stream.ended
  const data = stream.messages.map(
    (message) => at(message, 'params', 'data') ?? at(message, 'result', 'value') ?? null,
  )
  const expected: unknown[] = [...said.notices, said.result].map(({ text }) => JSON.parse(text) ?? null)
  expect(data).toEqual(expected)
}

test('an event stream may be cut anywhere on its way', async () => {
  let say: Saying = silent
  const server = await startScriptedHttp(
    { name: 's', tools: ['t'] },
    {
      intercept(_request, response, message) {
        if (message?.['method'] !== 'tools/call') return false
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        const events = messagesOf(say, message['id']).map((text) => `data: ${text}${say.end}${say.end}`)
        void (async () => {
          for (const piece of pieces(events.join(''), say.cuts)) {
            response.write(piece)
            await turn()
          }
          response.end()
        })()
        return true
      },
    },
  )
  const { at: path } = await startGateway({ servers: { s: { url: server.url } } })
  const session = await RawSession.open(path('s'))
  await fc.assert(
    fc.asyncProperty(saying, async (one) => {
      say = one
      await expectAll(session, 't', one)
    }),
    { numRuns: 100 },
  )
})

test('so may the standard output of a process', async () => {
  let say: Saying = silent
  const runtime = cuttingRuntime((id) => ({
    text: messagesOf(say, id)
      .map((text) => text + say.end)
      .join(''),
    cuts: say.cuts,
  }))
  const { at: path } = await startGateway({ servers: { s: { command: 'x', sharing: 'session' } }, runtime })
  const session = await RawSession.open(path('s'))
  await fc.assert(
    fc.asyncProperty(saying, async (one) => {
      say = one
      await expectAll(session, 't', one)
    }),
    { numRuns: 100 },
  )
})

/** A legacy server whose answers to calls are whatever text it is given, in pieces. */
function cuttingRuntime(answer: (id: unknown) => { text: string; cuts: readonly number[] }): ServerRuntime {
  return {
    async start() {
      const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
      let exit: (exit: ServerExit) => void = () => {}
      const exited = new Promise<ServerExit>((resolve) => {
        exit = resolve
      })
      const end = () => {
        stdout.end()
        exit({ code: 0, signal: null })
      }
      let rest = ''
      stdin.on('end', end)
      stdin.on('data', (chunk: Buffer) => {
        const lines = (rest + chunk.toString()).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) void take(JSON.parse(line))
      })
      const take = async (message: Json) => {
        if (message['method'] === 'initialize') {
          const result = {
            protocolVersion: '2025-11-25',
            capabilities: { tools: {} },
            serverInfo: { name: 'x', version: '1' },
          }
          stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id: message['id'], result })}\n`)
        } else if (message['method'] === 'tools/call') {
          const { text, cuts } = answer(message['id'])
          for (const piece of pieces(text, cuts)) {
            stdout.write(piece)
            await turn()
          }
        } else if ('id' in message) {
          const error = { code: -32601, message: 'no' }
          stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id: message['id'], error })}\n`)
        }
      }
      return { stdin, stdout, stderr, exited, kill: end, pid: 1 }
    },
  }
}

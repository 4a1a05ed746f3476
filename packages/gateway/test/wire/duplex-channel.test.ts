import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { InternalCall, type InternalAnswer } from '../../src/call/internal-call.ts'
import { DuplexChannel } from '../../src/upstream/duplex-channel.ts'
import { at } from '../http/client.ts'

const context = {
  principal: { tenant: 't', subject: 's', roles: [], scopes: [] },
  era: 'legacy' as const,
  protocolVersion: '2025-11-25',
}

function open() {
  const written: unknown[] = []
  const unasked: string[] = []
  const garbage: string[] = []
  const answers: unknown[] = []
  const channel = new DuplexChannel({
    server: 's',
    write: (message) => void written.push(JSON.parse(message.toString())),
    fromServer: (message) => void unasked.push(message.toString()),
    garbage: (text) => void garbage.push(text),
    timeoutMs: 0,
    now: () => 0,
  })
  const call = () => {
    const made = new InternalCall(
      's',
      context,
      'm',
      {},
      [],
      (answer: InternalAnswer | Error) => void answers.push(answer),
    )
    channel.send(made)
    return at(written.at(-1), 'id')
  }
  return { channel, call, written, unasked, garbage, answers }
}

describe('what a server writes to a line of its own', () => {
  test('is a message, a list of messages, or garbage; it never throws and never answers what it should not', () => {
    const { channel, call, answers } = open()
    const id = call()
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string({ unit: 'binary', maxLength: 20 })), (text) => {
        channel.receive(Buffer.from(text))
      }),
    )
    expect(answers).toEqual([])
    channel.receive(
      Buffer.from(
        `[{"jsonrpc":"2.0","method":"notifications/x"},{"jsonrpc":"2.0","id":${String(id)},"result":{"a":1}}]`,
      ),
    )
    expect(answers).toMatchObject([{ result: { a: 1 } }])
  })

  test('late, repeated and foreign answers reach nobody', () => {
    const { channel, call, answers } = open()
    const id = String(call())
    for (const other of ['99', '"1"', 'null', '-1', '1.5', '"__proto__"', '{}']) {
      channel.receive(Buffer.from(`{"jsonrpc":"2.0","id":${other},"result":{}}`))
    }
    expect(answers.length).toBe(0)
    channel.receive(Buffer.from(`{"jsonrpc":"2.0","id":${id},"result":{"n":1}}`))
    channel.receive(Buffer.from(`{"jsonrpc":"2.0","id":${id},"result":{"n":2}}`))
    expect(answers).toMatchObject([{ result: { n: 1 } }])
  })

  test('deep nesting keeps nobody busy', () => {
    const { channel, garbage } = open()
    const startedAt = performance.now()
    channel.receive(Buffer.from('['.repeat(100_000) + ']'.repeat(100_000)))
    channel.receive(Buffer.from('['.repeat(100_000)))
    expect(performance.now() - startedAt).toBeLessThan(2_000)
    expect(garbage).toHaveLength(2)
  })
})

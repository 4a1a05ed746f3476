import { afterEach, describe, expect, test } from 'vitest'
import { at, send, until } from './client.ts'
import { startGateway } from './gateway.ts'
import { jsonHeaders, openSession } from './messages.ts'
import { type Exchange, startHandmade } from './upstream.ts'

const cleanUp: (() => unknown)[] = []
afterEach(async () => {
  for (const run of cleanUp.splice(0).toReversed()) await run()
})

/** Two numbers that JavaScript cannot tell apart. */
const one = '9007199254740992'
const other = '9007199254740993'

async function start() {
  const held = new Map<string, Exchange>()
  const server = await startHandmade({
    era: 'legacy',
    handle: (exchange) => {
      if (exchange.rpcMethod === 'tools/call')
        held.set(String(at(exchange.message, 'params', 'name')), exchange)
      else exchange.response.writeHead(202).end()
    },
    listen: ({ response }) => void response.writeHead(405).end(),
  })
  const running = await startGateway({ servers: { l: { url: server.url } } })
  cleanUp.push(
    () => server.close(),
    () => running.close(),
  )
  await running.gateway.ready()
  const session = await openSession(running.at('l'), { capabilities: { roots: {} } })
  const call = (id: string, name: string) =>
    session.post(`{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"${name}"}}`)
  return { held, session, call, server }
}

describe('ids that are equal once they are JavaScript numbers', () => {
  test('are two calls', async () => {
    const { held, call } = await start()
    const [first, second] = [call(one, 'first'), call(other, 'second')]
    await until(() => held.size === 2, 'both calls arrived')
    held.get('second')?.result({ is: 'second' })
    held.get('first')?.result({ is: 'first' })
    expect((await first).text).toBe(`{"jsonrpc":"2.0","id":${one},"result":{"is":"first"}}`)
    expect((await second).text).toBe(`{"jsonrpc":"2.0","id":${other},"result":{"is":"second"}}`)
  })

  test('are cancelled one by one', async () => {
    const { held, call, session } = await start()
    const [first, second] = [call(one, 'first'), call(other, 'second')]
    await until(() => held.size === 2, 'both calls arrived')
    await session.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":${other}}}`)
    await second
    expect(held.get('first')?.hungUp).toBe(false)
    held.get('first')?.result({})
    expect((await first).status).toBe(200)
  })

  test('are two questions of a server', async () => {
    const { held, call, session, server } = await start()
    const asking = call('1', 'asking')
    await until(() => held.size === 1, 'the call arrived')
    const exchange = held.get('asking')
    exchange?.response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const id of [one, other])
      exchange?.response.write(`data: {"jsonrpc":"2.0","id":${id},"method":"roots/list"}\n\n`)
    const answers = () =>
      server.arrived.filter(({ text }) => text.includes('"roots"')).map(({ text }) => text)
    const answer = (id: string) =>
      send(session.url, {
        headers: { ...jsonHeaders, ...session.headers },
        body: `{"jsonrpc":"2.0","id":${id},"result":{"roots":[]}}`,
      })
    // the questions are known once the gateway takes an answer
    const deadline = performance.now() + 5_000
    while ((await answer(one)).status !== 202 && performance.now() < deadline);
    while ((await answer(other)).status !== 202 && performance.now() < deadline);
    await until(() => answers().length === 2, 'both answers arrived')
    expect(answers().map((text) => text.includes(`"id":${other}`))).toEqual([false, true])
    exchange?.response.end('data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n')
    expect((await asking).status).toBe(200)
  })

  test('two spellings of one number are still one id', async () => {
    const { held, call } = await start()
    const first = call('100', 'first')
    await until(() => held.size === 1, 'the call arrived')
    expect((await call('1e2', 'second')).status).toBe(400)
    held.get('first')?.result({})
    expect((await first).status).toBe(200)
  })
})

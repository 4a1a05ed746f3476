import { afterEach, expect, test } from 'vitest'
import type { GatewayOptions } from '../../src/index.ts'
import { partsOf } from '../../src/gateway.ts'
import { at, until } from './client.ts'
import { namedCallers, startGateway } from './gateway.ts'
import { type LegacySession, openSession } from './messages.ts'
import { type Exchange, startHandmade } from './upstream.ts'

const cleanUp: (() => unknown)[] = []
afterEach(async () => {
  for (const run of cleanUp.splice(0).toReversed()) await run()
})

const KB = 1024
const EVENTS = 10

/** Sessions that nobody listens to at the moment, while the server goes on to tell each of them ten things of 100 KB. */
async function start(limits: GatewayOptions['limits']) {
  const listening = new Map<unknown, Exchange>()
  const server = await startHandmade({
    era: 'legacy',
    listen: (exchange) => {
      listening.set(exchange.headers['mcp-session-id'], exchange)
      exchange.response.writeHead(200, { 'content-type': 'text/event-stream' })
      exchange.response.flushHeaders()
    },
  })
  const running = await startGateway({
    servers: { l: { url: server.url } },
    authenticate: namedCallers(),
    ...(limits !== undefined && { limits }),
  })
  cleanUp.push(
    () => server.close(),
    () => running.close(),
  )
  const { replay } = partsOf(running.gateway).core
  let sessions = 0
  const toldAndAway = async (who: string): Promise<{ session: LegacySession; first: string }> => {
    const session = await openSession(running.at('l'), { headers: { 'x-subject': who } })
    const listener = await session.listen()
    const upstreamId = `session-${++sessions + 1}`
    await until(() => listening.has(upstreamId), 'the server can speak')
    const tell = (n: number, data = '') =>
      listening
        .get(upstreamId)
        ?.response.write(
          `data: ${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', n, data } })}\n\n`,
        )
    tell(0)
    const first = (await listener.message())?.id ?? ''
    listener.hangUp()
    const before = replay.bytes
    for (let n = 1; n <= EVENTS; n++) tell(n, 'x'.repeat(100 * KB))
    const marker = `marker-${who}-${sessions}`
    tell(EVENTS + 1, marker)
    await until(() => replay.bytes !== before, 'something is kept')
    return { session, first }
  }
  /** What the client gets when it comes back: the numbers of the events, until the last one has come. */
  const comeBack = async ({ session, first }: { session: LegacySession; first: string }) => {
    const reader = await session.listen({ 'last-event-id': first })
    const numbers: unknown[] = []
    for (let next = await reader.message(); next !== undefined; next = await reader.message()) {
      numbers.push(at(next.json, 'params', 'n'))
      if (numbers.at(-1) === EVENTS + 1) break
    }
    reader.hangUp()
    return numbers
  }
  return { replay, toldAndAway, comeBack, running }
}

const all = Array.from({ length: EVENTS + 1 }, (_, n) => n + 1)

test('what is kept for the sessions of one caller is bounded, the oldest goes first', async () => {
  const { replay, toldAndAway, comeBack } = await start({ replayBytesPerPrincipal: 2_500 * KB })
  const bobs = await toldAndAway('bob')
  const anns = []
  for (let count = 0; count < 4; count++) anns.push(await toldAndAway('ann'))
  await until(() => replay.bytes > 2_000 * KB, 'much is kept')
  const [, , , latest] = anns
  if (latest === undefined) throw new Error('not there')
  expect(await comeBack(latest)).toEqual(all)
  expect(replay.bytes).toBeLessThanOrEqual(2_500 * KB + 1_100 * KB)
  expect(await comeBack(bobs)).toEqual(all)
})

test('what is kept for all of them is bounded, at the expense of whoever keeps the most', async () => {
  const { replay, toldAndAway, comeBack } = await start({ replayBytes: 3_000 * KB })
  const bobs = await toldAndAway('bob')
  const anns = []
  for (let count = 0; count < 5; count++) anns.push(await toldAndAway('ann'))
  expect(await comeBack(bobs)).toEqual(all)
  const latest = anns.at(-1)
  if (latest === undefined) throw new Error('not there')
  expect(await comeBack(latest)).toEqual(all)
  expect(replay.bytes).toBeLessThanOrEqual(3_000 * KB)
})

test('sessions that end leave nothing behind', async () => {
  const { replay, toldAndAway, running } = await start({})
  const one = await toldAndAway('ann')
  const two = await toldAndAway('ann')
  expect(replay.bytes).toBeGreaterThan(100 * KB)
  for (const { session } of [one, two])
    await fetch(session.url, { method: 'DELETE', headers: session.headers })
  expect(replay.bytes).toBe(0)
  await running.gateway.close({ deadlineMs: 0 })
})

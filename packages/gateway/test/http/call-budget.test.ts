import type { Authenticator } from '@sallyport/core'
import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { afterEach, expect, test } from 'vitest'
import { type GatewayOptions } from '../../src/index.ts'
import { partsOf } from '../../src/gateway.ts'
import { at, openEvents, send, until } from './client.ts'
import { type RunningGateway, startGateway } from './gateway.ts'
import { callTool, modern, openSession } from './messages.ts'
import { echo, type Exchange, startHandmade } from './upstream.ts'

const cleanUp: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const run of cleanUp.splice(0).toReversed()) await run()
})

/** `X-Subject: tenant/subject`. */
const tenants: Authenticator = {
  authenticate({ headers }) {
    const [tenant = '', subject = ''] = String(headers['x-subject']).split('/')
    return { tenant, subject, roles: [], scopes: [] }
  },
}

/** Servers of both eras that keep calls of the tool `wait` until they are told to answer them. */
async function start(limits: GatewayOptions['limits']) {
  const waiting: Exchange[] = []
  const handle = (exchange: Exchange) => {
    if (at(exchange.message, 'params', 'name') === 'wait') waiting.push(exchange)
    else echo(exchange)
  }
  const modernServer = await startHandmade({
    handle: (exchange) => {
      if (exchange.rpcMethod === 'subscriptions/listen')
        exchange.stream()({
          jsonrpc: '2.0',
          method: 'notifications/subscriptions/acknowledged',
          params: { _meta: { 'io.modelcontextprotocol/subscriptionId': 1 }, notifications: {} },
        })
      else handle(exchange)
    },
  })
  const legacyServer = await startHandmade({ era: 'legacy', handle })
  const audit = createMemoryAuditRecorder()
  const running: RunningGateway = await startGateway({
    servers: { m: { url: modernServer.url }, l: { url: legacyServer.url } },
    authenticate: tenants,
    audit,
    ...(limits !== undefined && { limits }),
  })
  cleanUp.push(
    () => modernServer.close(),
    () => legacyServer.close(),
    () => running.close(),
  )
  await running.gateway.ready()
  const as = (who: string, request = callTool('wait')) =>
    send(running.at('m'), { ...request, headers: { ...request.headers, 'x-subject': who } })
  const release = () => {
    for (const exchange of waiting.splice(0)) exchange.result({ resultType: 'complete', content: [] })
  }
  return { running, waiting, as, release, audit }
}

const refused = (limit: string) => ({
  id: 1,
  error: { code: -32600, data: { code: 'ERR_LIMIT_EXCEEDED', limit, retrySafe: true } },
})

test('a caller with too many open calls is told to wait, and nobody else is', async () => {
  const { waiting, as, release, audit } = await start({ callsPerPrincipal: 3 })
  const open = [as('a/ann'), as('a/ann'), as('a/ann')]
  await until(() => waiting.length === 3, 'three open calls')
  const over = await as('a/ann', callTool('quick'))
  expect(over.status).toBe(429)
  expect(over.headers['retry-after']).toBe('1')
  expect(over.json).toMatchObject(refused('callsPerPrincipal'))
  expect((await as('a/bob', callTool('quick'))).status).toBe(200)
  expect((await as('b/ann', callTool('quick'))).status).toBe(200)
  release()
  for (const answer of await Promise.all(open)) expect(answer.status).toBe(200)
  expect((await as('a/ann', callTool('quick'))).status).toBe(200)
  const outcomes = audit.entries().map(({ outcome }) => outcome?.code)
  expect(outcomes.filter((code) => code === 'ERR_LIMIT_EXCEEDED')).toHaveLength(1)
})

test('a tenant cannot take what another needs, by whichever of its callers', async () => {
  const { running, waiting, as, release } = await start({ callsPerPrincipal: 2, callsPerTenant: 3 })
  const open = [as('a/1'), as('a/1'), as('a/2')]
  await until(() => waiting.length === 3, 'three open calls')
  const over = await as('a/3', callTool('quick'))
  expect(over.status).toBe(429)
  expect(over.json).toMatchObject(refused('callsPerTenant'))
  expect((await as('b/1', callTool('quick'))).status).toBe(200)
  release()
  await Promise.all(open)
  expect((await as('a/3', callTool('quick'))).status).toBe(200)
  // forgetting callers without calls changes nothing for them
  partsOf(running.gateway).core.budget.sweep()
  expect((await as('a/3', callTool('quick'))).status).toBe(200)
})

test('calls that are withdrawn give their place back', async () => {
  const { running, waiting, as } = await start({ callsPerPrincipal: 1 })
  const request = callTool('wait')
  const headers = { ...request.headers, 'x-subject': 'a/ann' }
  const hangingUp = new AbortController()
  const gone = fetch(running.at('m'), {
    method: 'POST',
    headers,
    body: request.body,
    signal: hangingUp.signal,
  }).catch(() => {})
  await until(() => waiting.length === 1, 'an open call')
  hangingUp.abort()
  await gone
  await until(() => waiting[0]?.hungUp === true, 'the server sees it')
  expect((await as('a/ann', callTool('quick'))).status).toBe(200)
})

test('calls in sessions and in batches count, what only listens does not', async () => {
  const { running, waiting, as, release } = await start({ callsPerPrincipal: 2 })
  const ann = { 'x-subject': 'a/ann' }
  const session = await openSession(running.at('l'), { headers: ann, version: '2025-03-26' })
  const listening = await session.listen()
  const subscription = modern('subscriptions/listen', { notifications: { toolsListChanged: true } })
  const subscribed = await openEvents(running.at('m'), {
    ...subscription,
    headers: { ...subscription.headers, ...ann },
  })
  await subscribed.message()
  const call = (id: number) => ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'wait' } })
  const batch = session.post([call(1), call(2), call(3)])
  await until(() => waiting.length === 2, 'two open calls')
  expect((await as('a/ann', callTool('quick'))).status).toBe(429)
  expect((await session.request('ping', {}, 4)).status).toBe(429)
  release()
  const answers: unknown = (await batch).json
  expect(answers).toHaveLength(3)
  expect(at(answers, 0)).toMatchObject({ ...refused('callsPerPrincipal'), id: 3 })
  listening.hangUp()
  subscribed.hangUp()
})

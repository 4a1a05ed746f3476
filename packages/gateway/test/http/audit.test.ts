import type { AuditRecorder, AuditTicket, CallIntent, CallOutcome } from '@sallyport/core'
import { createMemoryAuditRecorder, type MemoryAuditRecorder } from '@sallyport/core/memory'
import { afterEach, describe, expect, test } from 'vitest'
import { apiKeys, generateApiKey } from '../../src/auth/index.ts'
import { at, open, openEvents, send, until } from './client.ts'
import { collectingLogger, namedCallers, type RunningGateway, startGateway } from './gateway.ts'
import { callTool, envelope, initialize, jsonHeaders, modern, openSession, responseIn } from './messages.ts'
import { type Exchange, type HandmadeUpstream, startHandmade } from './upstream.ts'

const cleanUp: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const each of cleanUp.splice(0).toReversed()) await each.close()
})

interface Place {
  readonly running: RunningGateway
  readonly modernServer: HandmadeUpstream
  readonly legacyServer: HandmadeUpstream
}

/** `m` and `l` together, `m` alone: the aggregated endpoint of the modern era needs modern servers only. */
async function setUp(
  audit: AuditRecorder,
  handle?: (exchange: Exchange) => void,
  only?: 'm',
): Promise<Place> {
  const options = handle === undefined ? {} : { handle }
  const modernServer = await startHandmade(options)
  const legacyServer = await startHandmade({ ...options, era: 'legacy' })
  const servers = {
    m: { url: modernServer.url },
    ...(only === undefined && { l: { url: legacyServer.url } }),
  }
  const running = await startGateway({ servers, audit, authenticate: namedCallers() })
  cleanUp.push(modernServer, legacyServer, running)
  await running.gateway.ready()
  return { running, modernServer, legacyServer }
}

const ada = { 'x-subject': 'ada' }
const as = <R extends { headers: Record<string, string> }>(request: R): R => ({
  ...request,
  headers: { ...request.headers, ...ada },
})

function last(audit: MemoryAuditRecorder): { intent: Partial<CallIntent>; outcome: CallOutcome | undefined } {
  const entry = audit.entries().at(-1)
  if (entry === undefined) throw new Error('nothing was recorded')
  return { intent: entry.intent, outcome: entry.outcome }
}

describe('what is recorded', () => {
  test('of a call: who, what, where to, how it ended', async () => {
    const audit = createMemoryAuditRecorder()
    const { running } = await setUp(audit)
    const trace = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
    const request = as(callTool('echo', { x: 1 }, 'call-1'))
    await send(running.at('m'), { ...request, headers: { ...request.headers, traceparent: trace } })
    expect(audit.entries()).toHaveLength(1)
    expect(last(audit)).toMatchObject({
      intent: {
        from: 'client',
        kind: 'request',
        principal: { tenant: 'test', subject: 'ada' },
        era: 'modern',
        remoteAddress: '127.0.0.1',
        endpoint: 'm',
        server: 'm',
        method: 'tools/call',
        target: 'echo',
        requestId: 'call-1',
        bytes: request.body.length,
        trace: { traceparent: trace },
      },
      outcome: { status: 'ok', bytes: expect.any(Number), durationMs: expect.any(Number) },
    })
  })

  test('on the aggregated endpoint: the server and its own name for the tool', async () => {
    const audit = createMemoryAuditRecorder()
    const { running } = await setUp(audit, undefined, 'm')
    await send(running.url, as(callTool('m__echo')))
    expect(last(audit)).toMatchObject({ intent: { server: 'm', target: 'echo' }, outcome: { status: 'ok' } })
    expect(last(audit).intent.endpoint).toBeUndefined()
  })

  test('each way a call can end', async () => {
    const audit = createMemoryAuditRecorder()
    const { running } = await setUp(audit, (exchange) => {
      const name = at(exchange.message, 'params', 'name')
      if (name === 'tool-error') exchange.result({ isError: true, content: [] })
      else if (name === 'error') exchange.error(200, -32050, 'no')
      else if (name === 'failed') exchange.response.destroy()
      else exchange.result({})
    })
    const outcomes = async (name: string) => {
      await send(running.at('m'), as(callTool(name)))
      return last(audit).outcome
    }
    expect(await outcomes('fine')).toMatchObject({ status: 'ok' })
    expect(await outcomes('tool-error')).toMatchObject({ status: 'tool-error' })
    expect(await outcomes('error')).toMatchObject({ status: 'error', code: -32050 })
    expect(await outcomes('failed')).toMatchObject({ status: 'failed', code: 'ERR_UPSTREAM_UNAVAILABLE' })
    expect(audit.entries()).toHaveLength(4)
  })

  test('a session, message by message, in both directions', async () => {
    const audit = createMemoryAuditRecorder()
    const { running, legacyServer } = await setUp(audit, (exchange) => {
      if (at(exchange.message, 'method') !== 'tools/call') exchange.response.writeHead(202).end()
      else {
        const event = exchange.stream()
        event({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: 1 } })
        event({ jsonrpc: '2.0', id: 5, method: 'sampling/createMessage', params: {} })
        event({ jsonrpc: '2.0', id: 1, result: {} })
        exchange.response.end()
      }
    })
    const session = await openSession(running.at('l'), { headers: ada, capabilities: { sampling: {} } })
    await session.request('tools/call', { name: 'x', _meta: { progressToken: 1 } })
    await session.post({ jsonrpc: '2.0', id: 5, result: {} })
    await session.post({ jsonrpc: '2.0', id: 6, result: {} })
    await until(
      () => legacyServer.arrived.some(({ text }) => text.includes('"result"')),
      'the answer went on',
    )
    const seen = audit
      .entries()
      .map(({ intent, outcome }) => [intent.from, intent.kind, intent.method ?? '', outcome?.status])
    expect(seen).toEqual(
      expect.arrayContaining([
        ['client', 'request', 'initialize', 'ok'],
        ['client', 'notification', 'notifications/initialized', 'ok'],
        ['client', 'request', 'tools/call', 'ok'],
        ['server', 'notification', 'notifications/progress', 'ok'],
        ['server', 'request', 'sampling/createMessage', 'ok'],
        ['client', 'response', '', 'ok'],
        ['client', 'response', '', 'refused'],
      ]),
    )
    expect(seen).toHaveLength(7)
    for (const { intent } of audit.entries().slice(1)) expect(intent.sessionId).toBe(session.id)
  })

  test('every refusal, with what is known of it', async () => {
    const audit = createMemoryAuditRecorder()
    const { running } = await setUp(audit, undefined, 'm')
    const { headers, body } = as(callTool('m__echo', {}, 9))
    const { ['x-subject']: _, ...anonymous } = headers
    const cases: [Parameters<typeof send>[1] & { url?: string }, Partial<CallIntent>, number | string][] = [
      [{ headers: anonymous, body }, { kind: 'invalid' }, 'ERR_UNAUTHENTICATED'],
      [{ headers: { ...headers, host: 'evil.example.com' }, body }, { kind: 'invalid' }, 403],
      [{ headers, body, url: `${running.origin}/nowhere` }, { kind: 'invalid' }, 404],
      [{ headers, body: '', method: 'PUT' }, { kind: 'invalid' }, 405],
      [
        { headers: { ...headers, 'content-type': 'x/y' }, body },
        { kind: 'invalid', principal: expect.objectContaining({ subject: 'ada' }) },
        415,
      ],
      [
        { headers, body: '{' },
        { kind: 'invalid', principal: expect.objectContaining({ subject: 'ada' }), bytes: 1 },
        -32700,
      ],
      [
        { headers: { ...headers, accept: 'x/y' }, body },
        { kind: 'request', method: 'tools/call', requestId: 9 },
        -32600,
      ],
      [{ headers: { ...headers, 'mcp-name': 'x' }, body }, { kind: 'request', method: 'tools/call' }, -32020],
      [{ ...as(callTool('unknown')) }, { kind: 'request', method: 'tools/call' }, -32602],
      [{ ...as(modern('what/ever')) }, { kind: 'request', method: 'what/ever' }, -32601],
      [
        {
          headers: { ...jsonHeaders, ...ada, 'mcp-session-id': 'x' },
          body: JSON.stringify({ jsonrpc: '2.0', id: 9, method: 'ping' }),
        },
        { kind: 'request', method: 'ping', era: 'legacy' },
        404,
      ],
    ]
    let count = 0
    for (const [{ url = running.url, ...request }, intent, code] of cases) {
      await send(url, request)
      expect(last(audit)).toMatchObject({ intent, outcome: { status: 'refused', code } })
      expect(audit.entries()).toHaveLength(++count)
    }
  })
})

describe('a recorder that does not take an intent', () => {
  const refusing: [string, AuditRecorder['begin']][] = [
    ['by a rejection', () => Promise.reject(new Error('disk full at /secret/path'))],
    [
      'by a throw',
      () => {
        throw new Error('disk full at /secret/path')
      },
    ],
  ]
  const unavailable = { error: { code: -32603, data: { code: 'ERR_AUDIT_UNAVAILABLE' } } }

  test.each(refusing)('%s: the request is refused, the server hears nothing', async (_, begin) => {
    let broken = false
    const audit: AuditRecorder = { begin: (intent) => (broken ? begin(intent) : { end() {} }) }
    const { running, modernServer, legacyServer } = await setUp(audit)
    const alone = await setUp({ begin }, undefined, 'm')
    const single = await openSession(running.at('l'), { headers: ada })
    const together = await openSession(running.url, { headers: ada })
    await together.request('tools/list')
    broken = true
    const before = [modernServer.all.length, legacyServer.all.length, alone.modernServer.all.length]
    const answers = [
      await send(running.at('m'), as(callTool('echo'))),
      await send(running.at('m'), as(modern('tools/list'))),
      await send(alone.running.url, as(callTool('m__echo'))),
      await send(alone.running.url, as(modern('tools/list'))),
      await send(alone.running.url, as(modern('server/discover'))),
      await send(alone.running.url, as(modern('subscriptions/listen', { notifications: {} }))),
      await single.request('tools/call', { name: 'echo' }),
      await single.request('ping'),
      await together.request('tools/call', { name: 'l__echo' }),
      await together.request('tools/list'),
      await together.request('ping'),
      await together.request('logging/setLevel', { level: 'info' }),
      await send(running.at('l'), {
        headers: { ...jsonHeaders, ...ada },
        body: JSON.stringify(initialize()),
      }),
      await send(running.url, { headers: { ...jsonHeaders, ...ada }, body: JSON.stringify(initialize()) }),
    ]
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 503))
    for (const answer of answers) {
      expect(responseIn(answer)).toMatchObject(unavailable)
      expect(answer.text).not.toContain('secret')
      expect(answer.headers['mcp-session-id']).toBeUndefined()
    }
    expect([modernServer.all.length, legacyServer.all.length, alone.modernServer.all.length]).toEqual(before)
    // the recorder is well again, and so is everything that was refused
    broken = false
    expect((await single.request('tools/call', { name: 'echo' })).status).toBe(200)
    expect((await together.request('tools/call', { name: 'l__echo' })).status).toBe(200)
  })

  test('at the end of a call: the call is answered, and the failure is not silent', async () => {
    for (const end of [
      () => Promise.reject(new Error('late')),
      () => {
        throw new Error('late')
      },
    ]) {
      const logger = collectingLogger()
      const upstream = await startHandmade()
      const running = await startGateway({
        servers: { m: { url: upstream.url } },
        audit: { begin: () => ({ end }) },
        logger,
      })
      cleanUp.push(upstream, running)
      await running.gateway.ready()
      expect((await send(running.at('m'), callTool('echo'))).status).toBe(200)
      await until(() => logger.lines.some(({ message }) => message.includes('audit')), 'a line in the log')
    }
  })
})

describe('a recorder that takes its time', () => {
  interface Kept {
    readonly intent: CallIntent
    readonly outcomes: CallOutcome[]
    readonly proceed: () => void
  }
  function patient(): { recorder: AuditRecorder; kept: Kept[] } {
    const kept: Kept[] = []
    const recorder: AuditRecorder = {
      begin: (intent) =>
        new Promise<AuditTicket>((resolve) => {
          const outcomes: CallOutcome[] = []
          kept.push({
            intent,
            outcomes,
            proceed: () => resolve({ end: (outcome) => void outcomes.push(outcome) }),
          })
        }),
    }
    return { recorder, kept }
  }

  test('holds a call up until it has the intent', async () => {
    const { recorder, kept } = patient()
    const { running, modernServer } = await setUp(recorder)
    const call = send(running.at('m'), as(callTool('echo')))
    await until(() => kept.length === 1, 'the recorder was asked')
    expect(modernServer.arrived).toEqual([])
    kept[0]?.proceed()
    expect((await call).status).toBe(200)
    await until(() => kept[0]?.outcomes.length === 1, 'the outcome was recorded')
    expect(kept).toHaveLength(1)
  })

  test('a client that hangs up meanwhile: one entry, and nothing is sent', async () => {
    const { recorder, kept } = patient()
    const { running, modernServer } = await setUp(recorder)
    open(running.at('m'), as(callTool('echo'))).catch(() => {})
    await until(() => kept.length === 1, 'the recorder was asked')
    running.server.closeAllConnections()
    const session = openSession(running.at('l'), { headers: ada })
    await until(() => kept.length === 2, 'the next message is there, so the hang-up has been noticed')
    for (const each of kept) each.proceed()
    const opened = await session.catch(() => undefined)
    expect(opened).toBeDefined()
    await until(() => kept[0]?.outcomes.length === 1, 'the outcome was recorded')
    expect(kept[0]?.outcomes).toMatchObject([{ status: 'cancelled' }])
    expect(kept.filter(({ intent }) => intent.method === 'tools/call')).toHaveLength(1)
    expect(modernServer.arrived).toEqual([])
  }, 10_000)
})

describe('a secret that passes through', () => {
  test('shows in no log, no error and no audit entry', async () => {
    const canary = 'canary7f3a9'
    const audit = createMemoryAuditRecorder()
    const logger = collectingLogger()
    const { key, id, hash } = generateApiKey()
    const upstream = await startHandmade({
      handle: (exchange) => {
        const everything = `${exchange.headers.authorization} ${JSON.stringify(exchange.headers)} ${exchange.text}`
        const name = at(exchange.message, 'params', 'name')
        if (name === 'page') exchange.write(500, `<pre>${everything}</pre>`, { 'content-type': 'text/html' })
        else if (name === 'text') exchange.write(200, everything, { 'content-type': 'text/plain' })
        else if (name === 'torn') exchange.response.destroy()
        else if (name === 'challenge')
          exchange.write(401, everything, { 'www-authenticate': `Bearer error="${canary}"` })
        else if (name === 'other-id') exchange.write(200, '{"jsonrpc":"2.0","id":"other","result":{}}')
        else if (name === 'event') {
          exchange.response.writeHead(200, { 'content-type': 'text/event-stream' })
          exchange.response.end(`data: ${everything.replaceAll('\n', ' ')}\n\n`)
        } else exchange.result({})
      },
    })
    const running = await startGateway({
      servers: {
        m: { url: `${upstream.url}?token=${canary}`, headers: { 'x-config': canary } },
        gone: {
          url: `http://user:${canary}@127.0.0.1:1/mcp?token=${canary}`,
          headers: { 'x-config': canary },
        },
      },
      audit,
      logger,
      authenticate: apiKeys({ keys: [{ id, hash, tenant: 't', subject: 's' }] }),
      credentials: { get: () => ({ headers: { authorization: `Bearer ${canary}` } }) },
    })
    cleanUp.push(upstream, running)
    await running.gateway.ready()
    const authorized = { authorization: `Bearer ${key}`, cookie: `sid=${canary}`, 'x-other': canary }
    const answers: string[] = []
    const seen = async (url: string, outgoing: Parameters<typeof send>[1]) => {
      const answer = await send(url, outgoing)
      answers.push(JSON.stringify(answer.headers), answer.text)
    }
    for (const name of ['page', 'text', 'torn', 'challenge', 'other-id', 'event', 'fine']) {
      const request = callTool(name, { password: canary })
      await seen(running.at('m'), { ...request, headers: { ...request.headers, ...authorized } })
      await seen(running.at('gone'), { ...request, headers: { ...request.headers, ...authorized } })
      await seen(running.at('m'), {
        ...request,
        headers: { ...request.headers, authorization: `Bearer ${canary}` },
      })
      await seen(running.at('m'), {
        ...request,
        headers: { ...request.headers, 'x-api-key': `spk_${canary}` },
      })
      await seen(running.at('m'), {
        ...request,
        headers: { ...request.headers, ...authorized, 'mcp-name': canary },
      })
      await seen(running.at('m'), {
        headers: { ...request.headers, ...authorized },
        body: `${request.body}${canary}`,
      })
      await seen(running.at('m'), {
        headers: { ...request.headers, ...authorized },
        body: request.body.replace('"2.0"', `"${canary}"`),
      })
      await seen(running.at('m'), {
        headers: { ...request.headers, ...authorized, 'mcp-session-id': canary },
        body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
      })
    }
    expect(upstream.arrived.some(({ headers }) => headers.authorization === `Bearer ${canary}`)).toBe(true)
    const written = [JSON.stringify(audit.entries()), JSON.stringify(logger.lines), ...answers]
    const leaks = written.filter((text) => text.includes(canary) || text.includes(key))
    expect(leaks.map((text) => text.slice(0, 600))).toEqual([])
    expect(audit.entries().length).toBeGreaterThan(30)
    expect(audit.entries().every(({ outcome }) => outcome !== undefined)).toBe(true)
  })

  test('the answer of a server itself is not touched', async () => {
    const audit = createMemoryAuditRecorder()
    const { running } = await setUp(audit)
    const reader = await openEvents(
      running.at('m'),
      as({
        ...callTool('echo', { word: 'swordfish' }),
        headers: { ...callTool('echo').headers, accept: 'text/event-stream' },
      }),
    )
    expect(JSON.stringify((await reader.message())?.json)).toContain('swordfish')
    expect(JSON.stringify(audit.entries())).not.toContain('swordfish')
    expect(envelope).toBeDefined()
  })
})

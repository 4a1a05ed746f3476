import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { serveStdio } from '../../src/stdio/index.ts'
import { bearer, believing, startGateway, until } from '../flow/harness.ts'
import { at, isJson, type Json, modern, modernMeta } from '../flow/raw-client.ts'
import { scriptedRuntime } from '../flow/scripted-runtime.ts'
import { type Script, text, type Turn } from '../flow/scripted-server.ts'
import {
  answersTo,
  answerTool,
  callTool,
  everything,
  httpLinks,
  questionsOf,
  startLegacyBehind,
  startTool,
  transports,
} from './legacy-behind.ts'

const question: Json = { message: 'who?', requestedSchema: { type: 'object', properties: {} } }

/** Says which session or process a call came to. */
async function tool({ ask, link, silence }: Turn, name: string): Promise<unknown> {
  if (name === 'ask') await ask('elicitation/create', question)
  if (name === 'hang') return silence()
  return text(link.id)
}
const script: Script = { name: 's', tools: ['ask', 'where', 'hang'], call: tool }
const where = (answer: Json): string => {
  const said = at(answer, 'result', 'content', 0, 'text')
  if (typeof said !== 'string') throw new Error(JSON.stringify(answer))
  return said
}

describe('sessions with a legacy server on behalf of modern clients', () => {
  it('are shared over HTTP by requests of one caller that declare the same, in whatever order', async () => {
    const { own, links } = await startLegacyBehind('HTTP', script, { authenticate: believing })
    const a = { sampling: {}, elicitation: { form: {}, url: {} } }
    const b = { elicitation: { url: {}, form: {} }, sampling: {} }
    const at1 = await Promise.all(
      [a, b, a, b].map(async (capabilities, id) =>
        where(await callTool(own, 'where', {}, { id, capabilities, headers: bearer('t/ann') })),
      ),
    )
    expect(new Set(at1).size).toBe(1)
    const others = [
      where(await callTool(own, 'where', {}, { capabilities: a, headers: bearer('t/bob') })),
      where(await callTool(own, 'where', {}, { capabilities: a, headers: bearer('u/ann') })),
      where(await callTool(own, 'where', {}, { capabilities: { sampling: {} }, headers: bearer('t/ann') })),
      where(await callTool(own, 'where', {}, { capabilities: {}, headers: bearer('t/ann') })),
    ]
    expect(new Set([...at1, ...others]).size).toBe(5)
    expect(links().map(({ initialize }) => at(initialize, 'capabilities'))).toContainEqual({ sampling: {} })
  })

  it('carry many calls over HTTP, parked ones among them', async () => {
    const { own, links } = await startLegacyBehind('HTTP', script)
    const asked = await Promise.all([1, 2, 3].map((id) => callTool(own, 'ask', { id }, { id })))
    await callTool(own, 'where')
    expect(links().length).toBe(1)
    const done = await Promise.all(
      asked.map((each, index) => answerTool(own, 'ask', each, { id: index + 1 }, { id: `again ${index}` })),
    )
    expect(new Set(done.map(where)).size).toBe(1)
  })

  it('over stdio take one call at a time that can be asked about, each in a process of its own', async () => {
    const { own, links, processes } = await startLegacyBehind('stdio', script)
    const asked = await Promise.all([1, 2].map((n) => callTool(own, 'ask', { n }, { id: n })))
    expect(links().length).toBe(2)
    // while both wait: lists do not need a process of their own, another call does
    await modern(
      own,
      'tools/list',
      {},
      { meta: { 'io.modelcontextprotocol/clientCapabilities': everything } },
    )
    expect(links().length).toBe(2)
    const third = where(await callTool(own, 'where'))
    expect(links().length).toBe(3)
    const done = await Promise.all(
      asked.map(async (each, index) =>
        where(await answerTool(own, 'ask', each, { n: index + 1 }, { id: `b${index}` })),
      ),
    )
    expect(new Set([...done, third]).size).toBe(3)
    // those that are free now are used again
    for (let n = 0; n < 5; n++) await callTool(own, 'where')
    expect(links().length).toBe(3)
    expect(processes().filter(({ running }) => running()).length).toBe(4)
  })

  it('over stdio are not needed by clients that cannot be asked: they share the process', async () => {
    const { own, links } = await startLegacyBehind('stdio', script, { authenticate: believing })
    const places = await Promise.all(
      ['t/a', 't/b', 't/c'].map(async (who) =>
        where(await callTool(own, 'where', {}, { capabilities: {}, headers: bearer(who) })),
      ),
    )
    expect(new Set(places).size).toBe(1)
    expect(links().length).toBe(1)
    const other = where(await callTool(own, 'where', {}, { capabilities: {}, headers: bearer('u/a') }))
    expect(places).not.toContain(other)
  })

  it('over stdio are limited in number: the one that rests longest goes, and if none rests, it is said', async () => {
    const { own, links, processes } = await startLegacyBehind('stdio', script, {
      authenticate: believing,
      limits: { processesPerServer: 2 },
    })
    const as = (who: string, name: string) => callTool(own, name, {}, { headers: bearer(who) })
    const [a, b] = [where(await as('t/a', 'where')), where(await as('t/b', 'where'))]
    const c = where(await as('t/c', 'where'))
    expect(new Set([a, b, c]).size).toBe(3)
    await until(() =>
      expect(
        processes()
          .find(({ id }) => id === a)
          ?.running(),
      ).toBe(false),
    )
    expect(
      processes()
        .find(({ id }) => id === b)
        ?.running(),
    ).toBe(true)
    questionsOf(await as('t/b', 'ask'))
    questionsOf(await as('t/c', 'ask'))
    expect(await as('t/d', 'where')).toMatchObject({
      error: { data: { code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: true } },
    })
    expect(links().length).toBe(3)
  })

  it('are limited for each caller', async () => {
    const { own } = await startLegacyBehind('HTTP', script, {
      authenticate: believing,
      limits: { pooledSessionsPerPrincipal: 2 },
    })
    const as = (who: string, name: string, x: number) =>
      callTool(
        own,
        name,
        {},
        { headers: bearer(who), capabilities: { ...everything, experimental: { x: { x } } } },
      )
    questionsOf(await as('t/a', 'ask', 1))
    questionsOf(await as('t/a', 'ask', 2))
    expect(await as('t/a', 'where', 3)).toMatchObject({ status: 429, error: { data: { limit: 2 } } })
    where(await as('t/b', 'where', 3))
  })

  it('are not opened for what is too large to be kept', async () => {
    const { own, links } = await startLegacyBehind('HTTP', script)
    const capabilities = { experimental: { x: { text: 'x'.repeat(70_000) } } }
    expect(await callTool(own, 'where', {}, { capabilities })).toMatchObject({
      status: 400,
      error: { code: -32600, data: { code: 'ERR_PROTOCOL' } },
    })
    expect(links()).toEqual([])
  })

  it.each(transports)('over %s end when they are not used', async (transport) => {
    let now = Date.now()
    const { own, links, http, processes } = await startLegacyBehind(transport, script, { now: () => now })
    await callTool(own, 'where')
    const [link] = links()
    now += 61_000
    await until(() => {
      if (http === undefined)
        expect(
          processes()
            .find(({ id }) => id === link?.id)
            ?.running(),
        ).toBe(false)
      else expect(http.links.has(String(link?.id))).toBe(false)
    })
    where(await callTool(own, 'where'))
  })

  it('are opened again when the server forgot them, and the call is sent again', async () => {
    const { own, http, links } = await startLegacyBehind('HTTP', script)
    const before = where(await callTool(own, 'where'))
    http?.forgetSessions()
    const after = where(await callTool(own, 'where'))
    expect(after).not.toBe(before)
    expect(links().length).toBe(1)
  })

  it.each(transports)(
    'over %s that end with a crash fail the calls that are open and serve the next',
    async (transport) => {
      const { own, http, processes, messages } = await startLegacyBehind(transport, script)
      const pending = callTool(own, 'hang')
      await until(() => expect(messages('tools/call').length).toBe(1))
      if (http === undefined) for (const each of processes()) each.crash()
      else {
        http.forgetSessions()
        await http.close()
      }
      expect(await pending).toMatchObject({
        error: { code: -32603, data: { code: 'ERR_UPSTREAM_UNAVAILABLE', retrySafe: false } },
      })
      if (http === undefined) where(await callTool(own, 'where'))
    },
  )
})

describe('a server that was upgraded', () => {
  it('gets new calls in its new era; those that wait end in the old one', async () => {
    let isModern = false
    let now = Date.now()
    const upgradable: Script = {
      ...script,
      on: {
        'server/discover': () => {
          if (!isModern) throw new Error('unknown')
          return { resultType: 'complete', supportedVersions: ['2026-07-28'], capabilities: { tools: {} } }
        },
      },
      call: async (turn, name) => {
        if (name === 'modern')
          return { resultType: 'complete', content: [], state: turn.params['requestState'] }
        return tool(turn, name)
      },
    }
    const runtime = scriptedRuntime({ s: upgradable })
    const { gateway, at: path } = await startGateway({
      servers: { s: { command: 's' } },
      runtime,
      now: () => now,
      limits: { parkedCallMs: 3_600_000, callMs: 3_600_000 },
    })
    await gateway.ready()
    const own = path('s')
    const asked = await callTool(own, 'ask')
    const place = runtime.processes.find(({ received }) =>
      received.some(({ method }) => method === 'tools/call'),
    )
    isModern = true
    now += 11 * 60_000
    const version = 'io.modelcontextprotocol/protocolVersion'
    await until(async () => {
      await callTool(own, 'modern')
      const seen = runtime.processes.flatMap((each) => each.messages('tools/call'))
      expect(seen.some((call) => at(call, 'params', '_meta', version) !== undefined)).toBe(true)
    })
    // a state of the server's own goes to the server
    const theirs = await callTool(own, 'modern', {}, {}, { requestState: 'theirs', inputResponses: {} })
    expect(at(theirs, 'result', 'state')).toBe('theirs')
    expect(where(await answerTool(own, 'ask', asked))).toBe(place?.id)
    // asked beside, not inside, the process that worked
    expect(place?.messages('server/discover')).toEqual([])
  })

  it('is asked beside the process that works, because some exit at the question', async () => {
    let now = Date.now()
    const runtime = scriptedRuntime({
      s: {
        ...script,
        on: {
          'server/discover': ({ link, silence }) => {
            runtime.processes.find(({ id }) => id === link.id)?.crash()
            return silence()
          },
        },
      },
    })
    const { gateway, at: path } = await startGateway({
      servers: { s: { command: 's' } },
      runtime,
      now: () => now,
    })
    await gateway.ready()
    const calls = async () => {
      for (const capabilities of [{}, everything])
        where(await callTool(path('s'), 'where', {}, { capabilities }))
    }
    await calls()
    const working = runtime.processes.filter(({ running }) => running())
    const asked = await callTool(path('s'), 'ask')
    now += 11 * 60_000
    await calls()
    const probed = () => runtime.processes.filter((each) => each.messages('server/discover').length > 0)
    await until(() => expect(probed().length).toBe(2))
    await until(() => expect(probed().every(({ running }) => !running())).toBe(true))
    await calls()
    expect(working.length).toBe(2)
    expect(questionsOf(asked).keys).toEqual(['q1'])
  })
})

describe('a client of the modern era on stdio', () => {
  it.each(transports)(
    'is asked by a legacy server over %s, and cancels with a notification',
    async (transport) => {
      const { gateway, messages } = await startLegacyBehind(transport, script)
      const input = new PassThrough()
      const output = new PassThrough()
      const lines: Json[] = []
      let rest = ''
      output.on('data', (chunk: Buffer) => {
        const parts = (rest + chunk.toString()).split('\n')
        rest = parts.pop() ?? ''
        for (const line of parts) {
          const value: unknown = JSON.parse(line)
          if (isJson(value)) lines.push(value)
        }
      })
      const connection = serveStdio(gateway, { input, output, server: 's' })
      const send = (message: Json) => void input.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
      const _meta = { ...modernMeta, 'io.modelcontextprotocol/clientCapabilities': everything }
      const answer = (id: number) =>
        until(() => {
          const found = lines.find((line) => line['id'] === id)
          if (found === undefined) throw new Error('no answer')
          return found
        })
      send({ id: 1, method: 'tools/call', params: { name: 'ask', arguments: {}, _meta } })
      const asked = await answer(1)
      const { state } = questionsOf(asked)
      const again = {
        name: 'ask',
        arguments: {},
        inputResponses: answersTo(asked),
        requestState: state,
        _meta,
      }
      send({ id: 2, method: 'tools/call', params: again })
      where(await answer(2))
      send({ id: 3, method: 'tools/call', params: { name: 'hang', arguments: {}, _meta } })
      await until(() => expect(messages('tools/call').length).toBe(2))
      send({ method: 'notifications/cancelled', params: { requestId: 3 } })
      await until(() => expect(messages('notifications/cancelled').length).toBe(1))
      input.end()
      await connection.closed
      expect(lines.some((line) => line['id'] === 3)).toBe(false)
    },
  )
})

describe('roots', () => {
  it.each(transports)(
    'that a server over %s asks for when a session begins are asked for with the next call',
    async (transport) => {
      const behind = await startLegacyBehind(transport, { ...script, call: () => text('done') })
      const { own, links, messages } = behind
      await callTool(own, 'where')
      const [link] = links()
      if (behind.http !== undefined)
        await until(() => expect(httpLinks(behind).find(({ id }) => id === link?.id)?.streams.size).toBe(1))
      link?.push({ jsonrpc: '2.0', id: 'r', method: 'roots/list' })
      const asked = await until(async () => {
        const answer = await callTool(own, 'where')
        questionsOf(answer)
        return answer
      })
      const before = messages('tools/call').length
      expect(questionsOf(asked).requests).toEqual({ q1: { method: 'roots/list' } })
      const done = await answerTool(own, 'where', asked)
      expect(done).toMatchObject({ result: { resultType: 'complete' } })
      // the server had the answer before it got the call
      const order = link?.received.map(({ id, method }) => method ?? id)
      expect(order?.slice(-2)).toEqual(['r', 'tools/call'])
      expect(messages('tools/call').length).toBe(before + 1)
      where(await callTool(own, 'where'))
    },
  )
})

describe('several questions at once', () => {
  it('of several callers over HTTP do not meet in the session of any', async () => {
    const { own } = await startLegacyBehind('HTTP', script, { authenticate: believing })
    const streams = await Promise.all(
      ['t/a', 't/b'].flatMap((who) =>
        [1, 2, 3].map(async (n) => {
          const options = { id: n, headers: bearer(who) }
          const asked = await callTool(own, 'ask', { n }, options)
          return answerTool(own, 'ask', asked, { n }, { ...options, id: `${n}` })
        }),
      ),
    )
    expect(new Set(streams.map(where)).size).toBe(2)
    await (await startTool(own, 'where', {}, { headers: bearer('t/a') })).ended
  })
})

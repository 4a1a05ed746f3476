import type { RequestContext, UpstreamChallenge, UpstreamCredentials } from '@sallyport/core'
import { describe, expect, it } from 'vitest'
import { bearer, believing, startFixture, startGateway, until } from './harness.ts'
import { as, claimed } from '../policy/callers.ts'
import { answersTo, callTool, questionsOf } from '../translate/legacy-behind.ts'
import { at, type Json, listAt, modern, RawSession } from './raw-client.ts'
import { startScriptedHttp } from './scripted-http.ts'
import { text } from './scripted-server.ts'

interface Asked {
  readonly subject: string
  readonly server: string
  readonly challenge: UpstreamChallenge | undefined
  readonly context: RequestContext
}

/** Remembers what it was asked for. */
function recording(get: (asked: Asked) => ReturnType<UpstreamCredentials['get']>) {
  const asked: Asked[] = []
  const credentials: UpstreamCredentials = {
    get(context, { name }, challenge) {
      const one = { subject: context.principal.subject, server: name, challenge, context }
      asked.push(one)
      return get(one)
    },
  }
  return { asked, credentials }
}

/** Answers 401 unless the request carries this token. */
function guarded(token: () => string) {
  return {
    intercept(request: { headers: Record<string, unknown> }, response: { writeHead: Function }): boolean {
      if (request.headers['authorization'] === `Bearer ${token()}`) return false
      response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end()
      return true
    },
  }
}

describe('credentials', () => {
  it('reach the server that they are for and no other; what the client sent reaches none', async () => {
    const [a, b, fixture] = await Promise.all([
      startScriptedHttp({ name: 'a', tools: ['t'] }),
      startScriptedHttp({ name: 'b', tools: ['t'] }),
      startFixture(),
    ])
    const { asked, credentials } = recording(({ server, subject }) =>
      server === 'b'
        ? undefined
        : { headers: { authorization: `Bearer ${server} for ${subject}`, 'x-extra': '1' } },
    )
    const { url, at: path } = await startGateway({
      servers: {
        a: { url: a.url, headers: { 'x-static': 'a' } },
        b: { url: b.url },
        fix: { url: fixture.url },
      },
      authenticate: believing,
      credentials,
    })
    const secret = {
      ...bearer('acme/ann'),
      cookie: 'session=secret',
      'x-api-key': 'secret',
      'proxy-authorization': 'secret',
    }
    for (const to of [url, path('a'), path('b')]) {
      const session = await RawSession.open(to, { headers: secret })
      await session.request('tools/list')
      if (to === url)
        for (const server of ['a', 'b', 'fix'])
          await session.call(`${server}__${server === 'fix' ? 'echo' : 't'}`)
      else await session.call('t')
    }
    await modern(path('fix'), 'tools/call', { name: 'echo', arguments: {} }, { headers: secret })
    const calls = a.received.filter(({ message }) => message?.['method'] === 'tools/call')
    expect(calls.map(({ headers }) => headers['authorization'])).toEqual([
      'Bearer a for ann',
      'Bearer a for ann',
    ])
    expect(calls.map(({ headers }) => [headers['x-extra'], headers['x-static']])).toEqual([
      ['1', 'a'],
      ['1', 'a'],
    ])
    expect(b.received.some(({ headers }) => 'authorization' in headers || 'x-static' in headers)).toBe(false)
    const everything = JSON.stringify([a.received, b.received, fixture.received()])
    expect(everything).not.toContain('secret')
    expect(everything).not.toContain('acme/ann')
    const last = asked.at(-1)
    expect(last).toMatchObject({ subject: 'ann', server: 'fix', challenge: undefined })
    expect(last?.context).toMatchObject({ era: 'modern', endpoint: 'fix', protocolVersion: '2026-07-28' })
  })

  it('that the server refuses are asked for once more, with its challenge, and the call is sent once more', async () => {
    let valid = 'fresh'
    const server = await startScriptedHttp(
      { name: 's', tools: ['t'] },
      guarded(() => valid),
    )
    const { asked, credentials } = recording(async ({ challenge }) => ({
      headers: { authorization: challenge === undefined ? 'Bearer stale' : 'Bearer fresh' },
    }))
    const { at: path } = await startGateway({
      servers: { s: { url: server.url } },
      authenticate: believing,
      credentials,
    })
    const session = await RawSession.open(path('s'), { headers: bearer('acme/ann') })
    const fresh = ({ headers, message }: (typeof server.received)[number]) =>
      headers['authorization'] === 'Bearer fresh' && message?.['method'] === 'notifications/initialized'
    await until(() => expect(server.received.some(fresh)).toBe(true))
    asked.length = 0
    const seen = server.received.length
    expect(at(await session.call('t'), 'result', 'content', 0, 'text')).toBe('s:t:{}')
    expect(asked.map(({ challenge }) => challenge)).toEqual([
      undefined,
      { status: 401, wwwAuthenticate: 'Bearer error="invalid_token"' },
    ])
    const sent = server.received.slice(seen)
    expect(sent.map(({ headers }) => headers['authorization'])).toEqual(['Bearer stale', 'Bearer fresh'])
    expect(sent[0]?.message).toEqual(sent[1]?.message)
    // and no third time
    valid = 'none'
    const refused = await session.call('t')
    expect(at(refused, 'error', 'message')).toBe('server "s": answered HTTP 401')
    expect(server.received.length).toBe(seen + 4)
  })

  it('of the modern era are retried the same way', async () => {
    const fixture = await startFixture({ era: 'modern' })
    const { asked, credentials } = recording(() => ({ headers: { 'x-token': 'x' } }))
    const { at: path } = await startGateway({ servers: { fix: { url: fixture.url } }, credentials })
    const answer = await modern(path('fix'), 'tools/call', { name: 'received', arguments: {} })
    const headers = at(JSON.parse(String(at(answer, 'result', 'content', 0, 'text'))), 'headers')
    expect(at(headers, 'x-token')).toBe('x')
    expect(asked.length).toBeGreaterThan(0)
  })

  it('that need a consent end the call with the URL, for this person alone', async () => {
    const server = await startScriptedHttp(
      { name: 's', tools: ['t'] },
      guarded(() => 'granted'),
    )
    const consented = new Set<string>()
    const { credentials } = recording(({ subject }) =>
      consented.has(subject)
        ? { headers: { authorization: 'Bearer granted' } }
        : { consentUrl: `https://consent.example/?for=${subject}` },
    )
    const good = await startScriptedHttp({ name: 'good', tools: ['t'] })
    const { url, at: path } = await startGateway({
      servers: { s: { url: server.url }, good: { url: good.url } },
      authenticate: believing,
      credentials: {
        get: (context, named, challenge) =>
          named.name === 'good' ? undefined : credentials.get(context, named, challenge),
      },
    })
    const ann = await RawSession.open(url, { headers: bearer('acme/ann') })
    const bob = await RawSession.open(url, { headers: bearer('acme/bob') })
    const answers = await Promise.all([ann.call('s__t'), bob.call('s__t')])
    for (const [index, who] of ['ann', 'bob'].entries()) {
      expect(at(answers[index], 'error', 'message')).toContain(`https://consent.example/?for=${who}`)
      expect(at(answers[index], 'error', 'data')).toEqual({
        code: 'ERR_CONSENT_REQUIRED',
        server: 's',
        consentUrl: `https://consent.example/?for=${who}`,
      })
    }
    const list = await ann.request('tools/list')
    expect(at(list, 'result', '_meta', 'sallyport/unavailable')).toEqual(['s'])
    expect(listAt(list, 'result', 'tools').map((each) => at(each, 'name'))).toEqual(['good__t'])
    // the gateway itself has nobody's consent, and what it could not find out for one person it finds out for another
    consented.add('bob')
    expect(
      listAt(await bob.request('tools/list'), 'result', 'tools').map((each) => at(each, 'name')),
    ).toEqual(['s__t', 'good__t'])
    expect(at(await bob.call('s__t'), 'result')).toBeDefined()
    expect(at(await ann.call('s__t'), 'error', 'data', 'consentUrl')).toBe('https://consent.example/?for=ann')
    for (const to of [url, path('s')]) {
      const params = { name: to === url ? 's__t' : 't', arguments: {} }
      const answer = await modern(to, 'tools/call', params, { headers: bearer('acme/ann') })
      expect([-32022, -32600]).toContain(at(answer, 'error', 'code'))
    }
  })

  it('that need a consent say so for a server of the HTTP+SSE transport too', async () => {
    const { url, at: path } = await startGateway({
      servers: { old: { url: 'http://127.0.0.1:1/sse', transport: 'sse' } },
      credentials: { get: () => ({ consentUrl: 'https://consent.example/' }) },
    })
    const session = await RawSession.open(url)
    expect(at(await session.call('old__t'), 'error', 'data', 'consentUrl')).toBe('https://consent.example/')
    await expect(RawSession.open(path('old'))).rejects.toThrow('https://consent.example/')
  })

  it('that cannot be had end the call with an error that tells no secret', async () => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    let fail: 'throw' | 'reject' | undefined
    const { url, log } = await startGateway({
      servers: { s: { url: server.url } },
      credentials: {
        get() {
          if (fail === 'throw') throw new Error('vault token hunter2')
          return fail === 'reject' ? Promise.reject(new Error('vault token hunter2')) : undefined
        },
      },
    })
    const session = await RawSession.open(url)
    await session.call('s__t')
    const before = server.received.length
    for (const how of ['throw', 'reject'] as const) {
      fail = how
      const answer = await session.call('s__t')
      expect(at(answer, 'error', 'message')).toBe('server "s": no credential could be obtained')
      expect(JSON.stringify(answer)).not.toContain('hunter2')
    }
    expect(server.received.length).toBe(before)
    expect(log.join('\n')).not.toContain('hunter2')
  })

  it('make lists personal: nobody is shown what another was', async () => {
    const server = await startScriptedHttp({
      name: 's',
      tools: [],
      on: {
        'tools/list': ({ link }) => ({
          tools: [
            {
              name: `of_${String(at(link.initialize, 'clientInfo', 'name'))}_${link.id.length}`,
              inputSchema: { type: 'object' },
            },
          ],
        }),
      },
    })
    const { credentials } = recording(({ subject }) => ({ headers: { authorization: `Bearer ${subject}` } }))
    const { url } = await startGateway({
      servers: { s: { url: server.url } },
      authenticate: believing,
      credentials,
    })
    for (const who of ['acme/ann', 'acme/bob', 'acme/ann']) {
      const session = await RawSession.open(url, { headers: bearer(who) })
      await session.request('tools/list')
    }
    const asked = server.received.filter(({ message }) => message?.['method'] === 'tools/list')
    expect(asked.map(({ headers }) => headers['authorization'])).toEqual(['Bearer ann', 'Bearer bob'])
  })

  it('are those of the newest token of a caller, whatever a session was opened with', async () => {
    const { credentials } = recording(({ context }) => ({
      headers: { authorization: `Bearer ${context.principal.roles.join()}` },
    }))
    const question = { message: 'who?', requestedSchema: { type: 'object', properties: {} } }
    const server = await startScriptedHttp({
      name: 's',
      tools: ['ask', 'where'],
      capabilities: { tools: {}, resources: { subscribe: true } },
      call: async ({ ask }, name) => {
        if (name === 'ask') await ask('elicitation/create', question)
        return text('done')
      },
    })
    const running = await startGateway({
      servers: { s: { url: server.url } },
      authenticate: claimed,
      credentials,
    })
    await running.gateway.ready()
    const own = running.at('s')
    const call = (role: string, name: string, more: Json = {}) =>
      callTool(own, name, {}, as(`ann role:${role}`), more)
    await call('admin', 'where')
    const asked = await call('admin', 'ask')
    const before = server.received.length
    const { state } = questionsOf(asked)
    const answered = await call('guest', 'ask', { requestState: state, inputResponses: answersTo(asked) })
    expect(at(answered, 'result', 'content', 0, 'text')).toBe('done')
    server.forgetSessions()
    await call('guest', 'where')
    await running.gateway.close({ deadlineMs: 0 })
    const sent = server.received.slice(before)
    expect(sent.map(({ message }) => message?.['method'])).toContain('initialize')
    expect(sent.some(({ message }) => message !== undefined && 'result' in message)).toBe(true)
    expect(sent.some(({ httpMethod }) => httpMethod === 'DELETE')).toBe(true)
    expect(new Set(sent.map(({ headers }) => headers['authorization']))).toEqual(new Set(['Bearer guest']))
  })
})

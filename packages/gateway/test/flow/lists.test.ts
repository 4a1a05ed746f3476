import type { Logger } from '@sallyport/core'
import { describe, expect, it } from 'vitest'
import { bearer, believing, connectV2, startFixture, startGateway, until } from './harness.ts'
import { at, type Json, listAt, modern, RawSession } from './raw-client.ts'
import { scriptedRuntime } from './scripted-runtime.ts'
import { startScriptedHttp } from './scripted-http.ts'

type Ask = (method: string, params: Json) => Promise<Json>

const kinds = [
  ['tools/list', 'tools', 'name'],
  ['prompts/list', 'prompts', 'name'],
  ['resources/list', 'resources', 'uri'],
  ['resources/templates/list', 'resourceTemplates', 'uriTemplate'],
] as const

/** All pages of a list, one after the other. */
async function walk(ask: Ask, method: string, kind: string, key: string) {
  const pages: string[][] = []
  let cursor: unknown
  do {
    const answer = await ask(method, cursor === undefined ? {} : { cursor })
    pages.push(listAt(answer, 'result', kind).map((each) => String(at(each, key))))
    cursor = at(answer, 'result', 'nextCursor')
    if (pages.length > 100) throw new Error('the cursors have no end')
  } while (cursor !== undefined)
  return pages
}

describe('a list of the aggregated endpoint', () => {
  it('shows every item of every server exactly once, however its servers and the gateway cut it', async () => {
    const fixtures = await Promise.all([9, 20, 2].map((pageSize) => startFixture({ pageSize })))
    const servers = Object.fromEntries(fixtures.map(({ url }, index) => [`s${index}`, { url }]))
    const whole = await startGateway({ servers })
    await whole.gateway.ready()
    const cut = await startGateway({ servers, limits: { pageItems: 12 } })
    await cut.gateway.ready()
    const wholeSession = await RawSession.open(whole.url)
    const cutSession = await RawSession.open(cut.url)
    for (const [method, kind, key] of kinds) {
      const expected = await walk((...each) => wholeSession.request(...each), method, kind, key)
      expect(expected.length).toBe(1)
      const all = expected.flat().toSorted()
      expect(new Set(all).size).toBe(all.length)
      const asks: Ask[] = [(...each) => cutSession.request(...each), (...each) => modern(cut.url, ...each)]
      for (const ask of asks) {
        const pages = await walk(ask, method, kind, key)
        expect(pages.flat().toSorted()).toEqual(all)
      }
    }
    const pages = await walk((...each) => cutSession.request(...each), 'tools/list', 'tools', 'name')
    expect(pages.length).toBeGreaterThan(3)
  })

  it('is the same for a client that collects the pages by itself', async () => {
    const one = await startFixture({ pageSize: 4 })
    const { gateway, url } = await startGateway({
      servers: { one: { url: one.url }, other: { url: one.url } },
      limits: { pageItems: 4 },
    })
    await gateway.ready()
    const client = await connectV2(url, 'modern')
    const names: string[] = []
    let cursor: string | undefined
    do {
      const page = await client.listTools(cursor === undefined ? {} : { cursor })
      names.push(...page.tools.map(({ name }) => name))
      cursor = page.nextCursor
    } while (cursor !== undefined)
    expect(new Set(names).size).toBe(names.length)
    expect(names.filter((name) => name.startsWith('one__')).length).toBe(names.length / 2)
  })

  it('refuses cursors that were not made for this caller and this list', async () => {
    const one = await startFixture({ pageSize: 4 })
    const { gateway, url } = await startGateway({
      servers: { one: { url: one.url } },
      limits: { pageItems: 4 },
      authenticate: believing,
    })
    await gateway.ready()
    const mine = await RawSession.open(url, { headers: bearer('acme/ann') })
    const cursor = at(await mine.request('tools/list'), 'result', 'nextCursor')
    expect(cursor).toBeTypeOf('string')
    expect(at(await mine.request('tools/list', { cursor }), 'result', 'tools', 3)).toBeDefined()
    const others = await RawSession.open(url, { headers: bearer('acme/bob') })
    const elsewhere = await RawSession.open(url, { headers: bearer('evil/ann') })
    const before = one.received().length
    const refused = [
      await others.request('tools/list', { cursor }),
      await elsewhere.request('tools/list', { cursor }),
      await mine.request('prompts/list', { cursor }),
      await mine.request('tools/list', { cursor: '' }),
      await mine.request('tools/list', { cursor: `${String(cursor).slice(0, -2)}AA` }),
      await mine.request('tools/list', { cursor: 5 }),
      await modern(url, 'tools/list', { cursor: 'nonsense' }, { headers: bearer('acme/ann') }),
    ]
    expect(refused.map((answer) => at(answer, 'error', 'code'))).toEqual(refused.map(() => -32602))
    expect(one.received().length).toBe(before)
  })

  it('keeps what a server says beside name and position of its definitions', async () => {
    const tool = {
      name: 'x',
      title: 'T',
      inputSchema: { type: 'object', $defs: { a: { const: 1.0 } } },
      annotations: { readOnlyHint: true },
      icons: [{ src: 'data:' }],
      _meta: { 'vendor/key': [1, 'zwei'] },
      unknownMember: { deep: null },
    }
    const server = await startScriptedHttp({ name: 's', tools: [tool] })
    const { url } = await startGateway({ servers: { s: { url: server.url } } })
    const session = await RawSession.open(url)
    expect(at(await session.request('tools/list'), 'result', 'tools')).toEqual([{ ...tool, name: 's__x' }])
  })

  it('asks only servers that have such things, and takes "unknown method" for an empty list', async () => {
    const tools = await startScriptedHttp({ name: 'tools', tools: ['t'] })
    const halfhearted = await startScriptedHttp({
      name: 'half',
      resources: [{ uri: 'x://1', name: '1' }],
      on: {
        'resources/templates/list': () => {
          throw new Error('never')
        },
      },
    })
    const { gateway, url } = await startGateway({
      servers: { tools: { url: tools.url }, half: { url: halfhearted.url } },
    })
    await gateway.ready()
    const session = await RawSession.open(url)
    expect(at(session.initialized, 'result', 'capabilities')).toEqual({
      tools: { listChanged: true },
      resources: { listChanged: true, subscribe: true },
      logging: {},
    })
    const resources = await session.request('resources/list')
    expect(at(resources, 'result')).toEqual({ resources: [{ uri: 'x://1', name: '1' }] })
    expect(at(await session.request('prompts/list'), 'result')).toEqual({ prompts: [] })
    expect(tools.messages('resources/list')).toEqual([])
    expect(halfhearted.messages('tools/list')).toEqual([])
    const templates = await session.request('resources/templates/list')
    expect(at(templates, 'result', '_meta', 'sallyport/unavailable')).toEqual(['half'])
  })

  it('is answered from memory for others of the tenant, and never across tenants', async () => {
    const server = await startScriptedHttp({ name: 's', tools: ['t'] })
    const { url } = await startGateway({
      servers: { s: { url: server.url } },
      authenticate: believing,
    })
    for (const who of ['acme/ann', 'acme/bob', 'acme/ann', 'evil/eve'] as const) {
      const session = await RawSession.open(url, { headers: bearer(who) })
      expect(listAt(await session.request('tools/list'), 'result', 'tools').length).toBe(1)
    }
    expect(server.messages('tools/list').length).toBe(2)
  })

  it('lacks a server with one warning, however often it is asked for, until the server was back', async () => {
    let away = true
    let now = Date.now()
    const server = await startScriptedHttp(
      { name: 's', tools: ['t'] },
      {
        intercept: (_request, response) => {
          if (away) response.destroy()
          return away
        },
      },
    )
    const warnings: string[] = []
    const logger: Logger = { debug() {}, info() {}, warn: (text) => void warnings.push(text), error() {} }
    const { url } = await startGateway({ servers: { s: { url: server.url } }, logger, now: () => now })
    const client = await RawSession.open(url)
    const listed = async () => {
      now += 60_000
      return listAt(await client.request('tools/list'), 'result', 'tools').length
    }
    const once = ['server could not be asked what it speaks', 'server is left out of a list']
    const told = () => warnings.filter((text) => once.includes(text))
    for (let count = 0; count < 3; count++) expect(await listed()).toBe(0)
    expect(told()).toEqual(once)
    away = false
    await until(async () => expect(await listed()).toBe(1))
    away = true
    await until(async () => expect(await listed()).toBe(0))
    expect(await listed()).toBe(0)
    expect(told()).toEqual([...once, once[1]])
  })
})

describe('a list of which one server', () => {
  const limits = { listMs: 200, probeMs: 60_000, callMs: 60_000 }

  it('cannot be reached, exits at once or cannot be started is complete but for that, and names it', async () => {
    const good = await startFixture()
    const { url } = await startGateway({
      servers: {
        refusing: { url: 'http://127.0.0.1:1/mcp' },
        missing: { command: '/nowhere/no-such-program' },
        good: { url: good.url },
        exiting: { command: process.execPath, args: ['-e', 'process.exit(3)'] },
      },
    })
    const session = await RawSession.open(url)
    const list = await session.request('tools/list')
    expect(at(list, 'result', '_meta', 'sallyport/unavailable')).toEqual(['exiting', 'missing', 'refusing'])
    expect(at(list, 'result', 'tools', 0, 'name')).toMatch(/^good__/)
    const answers = [
      await session.call('exiting__t'),
      await session.call('missing__t'),
      await session.call('refusing__t'),
    ]
    expect(answers.map((answer) => at(answer, 'error', 'message'))).toEqual([
      'server "exiting": ended (exit code 3)',
      expect.stringContaining('cannot be started: there is no program'),
      expect.stringContaining('cannot be reached at http://127.0.0.1:1 (ECONNREFUSED)'),
    ])
    const discovered = await modern(url, 'tools/list')
    expect(at(discovered, 'result', '_meta', 'sallyport/unavailable')).toEqual([
      'exiting',
      'missing',
      'refusing',
    ])
    expect(at(discovered, 'result', 'ttlMs')).toBe(0)
  })

  it('never says what it speaks comes without it, and other servers are not held up', async () => {
    const good = await startFixture()
    const mute = await startScriptedHttp({ on: {} }, { intercept: () => true })
    const { url } = await startGateway({
      servers: {
        mute: { url: mute.url },
        silent: { command: 'silent' },
        good: { url: good.url },
      },
      runtime: scriptedRuntime({
        silent: { on: { initialize: (turn) => turn.silence(), 'server/discover': (turn) => turn.silence() } },
      }),
      limits,
    })
    const startedAt = performance.now()
    const session = await RawSession.open(url)
    const list = await session.request('tools/list')
    expect(at(list, 'result', '_meta', 'sallyport/unavailable')).toEqual(['mute', 'silent'])
    expect(listAt(list, 'result', 'tools').length).toBeGreaterThan(10)
    expect(performance.now() - startedAt).toBeLessThan(1_500)
    const calledAt = performance.now()
    for (let call = 0; call < 3; call++) {
      expect(at(await session.call('good__echo'), 'result', 'content', 0, 'text')).toBe('{}')
      const answer = await modern(url, 'tools/call', { name: 'good__echo', arguments: {} })
      expect(at(answer, 'result', 'content', 0, 'text')).toBe('{}')
    }
    expect(performance.now() - calledAt).toBeLessThan(1_000)
    const read = await session.request('resources/read', { uri: 'test://static-text' })
    expect(at(read, 'result', 'contents', 0, 'text')).toContain('static text')
    const readModern = await modern(url, 'resources/read', { uri: 'test://static-text' })
    expect(at(readModern, 'result', 'contents', 0, 'text')).toContain('static text')
    expect(performance.now() - calledAt).toBeLessThan(3_000)
  })

  it('does not answer this list comes without it after listMs', async () => {
    const slow = await startScriptedHttp({
      name: 'slow',
      tools: [],
      on: { 'tools/list': (turn) => turn.silence() },
    })
    const good = await startScriptedHttp({ name: 'good', tools: ['t'] })
    const { gateway, url } = await startGateway({
      servers: { slow: { url: slow.url }, good: { url: good.url } },
      limits,
    })
    await gateway.ready()
    const session = await RawSession.open(url)
    const startedAt = performance.now()
    const list = await session.request('tools/list')
    expect(performance.now() - startedAt).toBeLessThan(1_000)
    expect(at(list, 'result', 'tools')).toEqual([{ name: 'good__t', inputSchema: { type: 'object' } }])
    expect(at(list, 'result', '_meta', 'sallyport/unavailable')).toEqual(['slow'])
    // the server is told that nobody waits
    await until(() => expect(slow.messages('notifications/cancelled').length).toBe(1))
  })

  it('comes back has it again, for the same client', async () => {
    const gone = await startScriptedHttp({ name: 'back', tools: ['t'] })
    const { port } = gone
    await gone.close()
    const good = await startScriptedHttp({ name: 'good', tools: ['t'] })
    let now = Date.now()
    const { url } = await startGateway({
      servers: { back: { url: gone.url }, good: { url: good.url } },
      now: () => now,
    })
    const session = await RawSession.open(url)
    const names = async () =>
      listAt(await session.request('tools/list'), 'result', 'tools').map((each) => at(each, 'name'))
    expect(await names()).toEqual(['good__t'])
    await startScriptedHttp({ name: 'back', tools: ['t'] }, { port })
    now += 2_000
    expect(await names()).toEqual(['back__t', 'good__t'])
    expect(at(await session.call('back__t'), 'result', 'content', 0, 'text')).toBe('back:t:{}')
  })
})

import { createMemoryServerRegistry } from '@sallyport/core/memory'
import { describe, expect, it } from 'vitest'
import { connectV1, connectV2, startFixture, startGateway, stdioFixture, textOf } from './harness.ts'
import { at, listAt, modern, RawSession } from './raw-client.ts'
import { startScriptedHttp } from './scripted-http.ts'
import { scriptedRuntime } from './scripted-runtime.ts'
import { text } from './scripted-server.ts'

const longName = `a_very_long_tool_name_${'x'.repeat(60)}`
const odd = {
  name: 'odd',
  tools: ['dots.in.a.name', 'ünï/cödé', longName, 'plain', '__dunder__', 'a_b', 'a.b'],
}

function namesIn(list: { tools: { name: string }[] }): string[] {
  return list.tools.map(({ name }) => name)
}

describe('tools of many servers behind one endpoint', () => {
  it('are listed and called by clients of both SDKs and both eras, over HTTP and stdio', async () => {
    const [one, two] = await Promise.all([startFixture({ name: 'one' }), startFixture({ name: 'two' })])
    const { gateway, url } = await startGateway({
      servers: {
        one: { url: one.url },
        two: { url: two.url },
        three: stdioFixture('dual', '--name', 'three'),
      },
    })
    await gateway.ready()
    const [v1, legacy, modernClient] = await Promise.all([
      connectV1(url),
      connectV2(url, 'legacy'),
      connectV2(url, 'modern'),
    ])
    for (const client of [v1, legacy, modernClient]) {
      const names = namesIn(await client.listTools())
      const servers = [...new Set(names.map((name) => name.split('__')[0]))]
      expect(servers).toEqual(['one', 'two', 'three'])
      expect(new Set(names).size).toBe(names.length)
      for (const server of ['one', 'two', 'three']) {
        const result = await client.callTool({ name: `${server}__echo`, arguments: { to: server } })
        expect(textOf(result)).toBe(JSON.stringify({ to: server }))
      }
    }
    const seen = one.received().filter(({ rpcMethod }) => rpcMethod === 'tools/call')
    expect(seen.length).toBe(3)
    expect(seen.map(({ headers }) => headers['mcp-name'])).toContain('echo')
    expect(JSON.stringify(seen)).not.toContain('one__echo')
  })

  it('keep their names when servers are added before and after them', async () => {
    const [one, two] = await Promise.all([startFixture(), startFixture()])
    const registry = createMemoryServerRegistry({ 'my server.x': { url: one.url } })
    const runtime = scriptedRuntime({ odd })
    const { gateway, url } = await startGateway({ servers: registry, runtime }).catch((error: unknown) => {
      throw error
    })
    await gateway.ready()
    const session = await RawSession.open(url)
    const before = listAt(await session.request('tools/list'), 'result', 'tools').map((each) =>
      at(each, 'name'),
    )
    registry.replace({
      'my-server.x': { url: two.url },
      'my server.x': { url: one.url },
      odd: { command: 'odd' },
    })
    await gateway.ready()
    const after = listAt(await session.request('tools/list'), 'result', 'tools').map((each) =>
      at(each, 'name'),
    )
    expect(after).toEqual(expect.arrayContaining(before))
    expect(after.length).toBe(2 * before.length + odd.tools.length)
    expect(new Set(after).size).toBe(after.length)
  })

  it.each(['HTTP', 'stdio'] as const)('with names no model takes are callable over %s', async (transport) => {
    const http = await startScriptedHttp(odd)
    const runtime = scriptedRuntime({ odd })
    const { url } = await startGateway({
      servers: { odd: transport === 'HTTP' ? { url: http.url } : { command: 'odd' } },
      runtime,
    })
    const session = await RawSession.open(url)
    const shown = listAt(await session.request('tools/list'), 'result', 'tools').map((each) =>
      String(at(each, 'name')),
    )
    expect(shown.length).toBe(odd.tools.length)
    for (const name of shown) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/)
    expect(new Set(shown).size).toBe(shown.length)
    for (const [index, name] of shown.entries()) {
      const answer = await session.call(name, { index })
      expect(textOf(Object(answer['result']))).toBe(`odd:${odd.tools[index]}:{"index":${index}}`)
    }
    // a session that never listed knows the names from elsewhere
    const fresh = await RawSession.open(url)
    const [dots = ''] = shown
    expect(textOf(Object((await fresh.call(dots))['result']))).toMatch(/^odd:dots\.in\.a\.name:/)
  })

  it('can be called although they are not on the first page of their server', async () => {
    const pages: Record<string, { tools: object[]; nextCursor?: string }> = {
      start: { tools: [{ name: 'first', inputSchema: { type: 'object' } }], nextCursor: '' },
      '': { tools: [{ name: 'second', inputSchema: { type: 'object' } }], nextCursor: 'last' },
      last: { tools: [{ name: longName, inputSchema: { type: 'object' } }] },
    }
    const server = await startScriptedHttp({
      name: 'paged',
      tools: [],
      on: { 'tools/list': ({ params }) => pages[String(params['cursor'] ?? 'start')] },
    })
    const { url } = await startGateway({ servers: { paged: { url: server.url } }, limits: { pageItems: 1 } })
    const session = await RawSession.open(url)
    let cursor: unknown
    const shown: string[] = []
    do {
      const answer = await session.request('tools/list', cursor === undefined ? {} : { cursor })
      shown.push(...listAt(answer, 'result', 'tools').map((each) => String(at(each, 'name'))))
      cursor = at(answer, 'result', 'nextCursor')
    } while (cursor !== undefined)
    expect(shown.length).toBe(3)
    const answer = await session.call(shown[2] ?? '')
    expect(at(answer, 'result', 'content', 0, 'text')).toBe(`paged:${longName}:{}`)
  })

  it('that nobody has are an error of the protocol, in both eras', async () => {
    const one = await startFixture()
    const { gateway, url } = await startGateway({ servers: { one: { url: one.url } } })
    await gateway.ready()
    const session = await RawSession.open(url)
    for (const name of ['nobody__echo', 'echo', '__echo', 'one__', `one__${'y'.repeat(80)}`]) {
      const answers = [await session.call(name), await modern(url, 'tools/call', { name, arguments: {} })]
      for (const answer of answers) {
        const code = at(answer, 'error', 'code') ?? (at(answer, 'result', 'isError') === true ? 'tool' : '')
        expect([-32602, 'tool']).toContain(code)
      }
    }
    expect(at(await session.request('tools/call', { name: 7 }), 'error', 'code')).toBe(-32602)
    expect(at(await session.request('no/such'), 'error', 'code')).toBe(-32601)
    expect(at(await modern(url, 'no/such'), 'error', 'code')).toBe(-32601)
  })

  it('go to servers whose names begin alike', async () => {
    const scripts = Object.fromEntries(
      ['a', 'a-b', 'a_', 'a__b', 'ä', 'n'.repeat(40), 'n'.repeat(41)].map((name) => [
        name,
        {
          name,
          tools: ['t', '_t'],
          call: (turn: { params: { name?: unknown } }) => text(`${name}/${String(turn.params.name)}`),
        },
      ]),
    )
    const { gateway, url } = await startGateway({
      servers: Object.fromEntries(Object.keys(scripts).map((name) => [name, { command: name }])),
      runtime: scriptedRuntime(scripts),
    })
    await gateway.ready()
    const session = await RawSession.open(url)
    const shown = listAt(await session.request('tools/list'), 'result', 'tools').map((each) =>
      String(at(each, 'name')),
    )
    const answers = await Promise.all(shown.map((name) => session.call(name)))
    expect(answers.map((answer) => at(answer, 'result', 'content', 0, 'text'))).toEqual(
      Object.keys(scripts).flatMap((name) => [`${name}/t`, `${name}/_t`]),
    )
  })
})

describe('prompts, resources and completions on the aggregated endpoint', () => {
  it('reach the server that has them, for clients of both SDKs and both eras', async () => {
    const fixture = await startFixture()
    const notes = await startScriptedHttp({
      name: 'notes',
      resources: [{ uri: 'note://1', name: 'one' }],
      templates: [{ uriTemplate: 'note://by/{author}', name: 'by author' }],
    })
    const { gateway, url } = await startGateway({
      servers: { notes: { url: notes.url }, fix: { url: fixture.url } },
    })
    await gateway.ready()
    const v1 = await connectV1(url)
    const v2 = await connectV2(url, 'auto')
    for (const client of [v1, v2]) {
      const prompt = await client.getPrompt({
        name: 'fix__test_prompt_with_arguments',
        arguments: { arg1: 'a', arg2: 'b' },
      })
      expect(JSON.stringify(prompt)).toContain("arg1='a', arg2='b'")
      const read = await client.readResource({ uri: 'test://static-text' })
      expect(JSON.stringify(read)).toContain('static text resource')
      const byTemplate = await client.readResource({ uri: 'test://template/42/data' })
      expect(JSON.stringify(byTemplate)).toContain('Data for ID: 42')
      const note = await client.readResource({ uri: 'note://by/ann' })
      expect(JSON.stringify(note)).toContain('notes read note://by/ann')
      const completed = await client.complete({
        ref: { type: 'ref/prompt', name: 'fix__test_prompt_with_arguments' },
        argument: { name: 'arg1', value: 'par' },
      })
      expect(completed.completion.values).toEqual(['paris', 'park', 'party'])
      const completedUri = await client.complete({
        ref: { type: 'ref/resource', uri: 'test://template/{id}/data' },
        argument: { name: 'id', value: 'be' },
      })
      expect(completedUri.completion.values).toEqual(['berlin', 'bern'])
    }
    expect(notes.messages('resources/read').length).toBe(2)
    expect(fixture.received().filter(({ rpcMethod }) => rpcMethod === 'completion/complete').length).toBe(4)
  })

  it('are refused with the code of the era where no server has them', async () => {
    const [one, two] = await Promise.all([startFixture(), startFixture()])
    const { gateway, url } = await startGateway({ servers: { one: { url: one.url }, two: { url: two.url } } })
    await gateway.ready()
    const session = await RawSession.open(url)
    const legacy = [
      await session.request('resources/read', { uri: 'gone://x' }),
      await session.request('prompts/get', { name: 'one__nope' }),
      await session.request('prompts/get', { name: 'nope' }),
      await session.request('completion/complete', { ref: { type: 'ref/prompt', name: 'x' } }),
      await session.request('completion/complete', { ref: { type: 'ref/resource', uri: 'gone://x' } }),
      await session.request('completion/complete', {}),
      await session.request('resources/read', { uri: 3 }),
    ]
    expect(legacy.map((answer) => at(answer, 'error', 'code'))).toEqual([
      -32002, -32602, -32602, -32602, -32602, -32602, -32602,
    ])
    expect(at(await modern(url, 'resources/read', { uri: 'gone://x' }), 'error', 'code')).toBe(-32602)
  })

  it('show a URI that two servers have once, and it leads to the first of them', async () => {
    const uri = 'shared://thing'
    const scripts = ['first', 'second'].map((name) => ({
      name,
      resources: [
        { uri, name },
        { uri: `shared://of/${name}`, name },
      ],
      templates: [{ uriTemplate: 'shared://t/{x}', name }],
    }))
    const [first, second] = await Promise.all(scripts.map((script) => startScriptedHttp(script)))
    if (first === undefined || second === undefined) throw new Error('not started')
    const { url } = await startGateway({
      servers: { first: { url: first.url }, second: { url: second.url } },
    })
    const session = await RawSession.open(url)
    const listed = await session.request('resources/list')
    expect(listAt(listed, 'result', 'resources').map((each) => [at(each, 'uri'), at(each, 'name')])).toEqual([
      [uri, 'first'],
      ['shared://of/first', 'first'],
      ['shared://of/second', 'second'],
    ])
    expect(
      listAt(await session.request('resources/templates/list'), 'result', 'resourceTemplates').length,
    ).toBe(1)
    const read = async (wanted: string) =>
      at(await session.request('resources/read', { uri: wanted }), 'result', 'contents', 0, 'text')
    expect(await read(uri)).toBe('first read shared://thing')
    expect(await read('shared://of/second')).toBe('second read shared://of/second')
    expect(await read('shared://t/1')).toBe('first read shared://t/1')
    // listed nowhere: the first server whose resources have this scheme
    expect(await read('shared://unlisted')).toBe('first read shared://unlisted')
  })

  it('find a resource that is not on the first page of its server', async () => {
    const deep = await startScriptedHttp({
      name: 'deep',
      resources: [],
      on: {
        'resources/list': ({ params }) =>
          params['cursor'] === 'two'
            ? { resources: [{ uri: 'same://2', name: '2' }] }
            : { resources: [{ uri: 'same://1', name: '1' }], nextCursor: 'two' },
      },
    })
    const other = await startScriptedHttp({ name: 'other', resources: [{ uri: 'same://0', name: '0' }] })
    const { url } = await startGateway({
      servers: { other: { url: other.url }, deep: { url: deep.url } },
      limits: { pageItems: 1 },
    })
    const session = await RawSession.open(url)
    const read = await session.request('resources/read', { uri: 'same://2' })
    expect(at(read, 'result', 'contents', 0, 'text')).toBe('deep read same://2')
  })

  it('prefer the server that has exactly this template over one whose template takes anything', async () => {
    const greedy = await startScriptedHttp({
      name: 'greedy',
      templates: [{ uriTemplate: 'any://{+rest}', name: 'any' }],
    })
    const exact = await startScriptedHttp({
      name: 'exact',
      templates: [{ uriTemplate: 'any://x/{y}', name: 'x' }],
      on: { 'completion/complete': () => ({ completion: { values: ['from exact'] } }) },
    })
    const { url } = await startGateway({
      servers: { greedy: { url: greedy.url }, exact: { url: exact.url } },
    })
    const session = await RawSession.open(url)
    const answer = await session.request('completion/complete', {
      ref: { type: 'ref/resource', uri: 'any://x/{y}' },
      argument: { name: 'y', value: '' },
    })
    expect(at(answer, 'result', 'completion', 'values')).toEqual(['from exact'])
  })

  it('are found although another server never answers', async () => {
    const dead = await startScriptedHttp({
      name: 'dead',
      resources: [],
      on: {
        'resources/list': (turn) => turn.silence(),
        'resources/templates/list': (turn) => turn.silence(),
      },
    })
    const good = await startScriptedHttp({ name: 'good', resources: [{ uri: 'good://1', name: '1' }] })
    const { gateway, url } = await startGateway({
      servers: { dead: { url: dead.url }, good: { url: good.url } },
      limits: { listMs: 300 },
    })
    await gateway.ready()
    const session = await RawSession.open(url)
    const startedAt = performance.now()
    for (let read = 0; read < 5; read++) {
      const answer = await session.request('resources/read', { uri: 'good://1' })
      expect(at(answer, 'result', 'contents', 0, 'text')).toBe('good read good://1')
    }
    // waited for once, not five times
    expect(performance.now() - startedAt).toBeLessThan(1_200)
  })
})

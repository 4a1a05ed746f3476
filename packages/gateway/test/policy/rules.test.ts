import type { JsonObject, PolicyTarget, Principal } from '@sallyport/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  allow,
  type AllowOptions,
  type ArgumentConditions,
  createGateway,
  createReplaceablePolicy,
  deny,
  explainPolicy,
  policy,
} from '../../src/index.ts'
import { Glob } from '../../src/policy/glob.ts'

const ada: Principal = { tenant: 'acme', subject: 'ada', roles: ['engineer'], scopes: ['read'] }

function tool(server: string, name: string, given?: JsonObject): PolicyTarget {
  return { kind: 'tool', server, name, ...(given !== undefined && { arguments: given }) }
}

function effectOf(entry: ReturnType<typeof allow>, target: PolicyTarget, principal = ada): string {
  const decided = policy(entry).decide(principal, target)
  return decided instanceof Promise ? 'promise' : decided.effect
}

describe('patterns', () => {
  /** Goes through all ways, as slowly as it likes. */
  function naive(pattern: string, text: string): boolean {
    if (pattern === '') return text === ''
    if (pattern.startsWith('*'))
      return naive(pattern.slice(1), text) || (text !== '' && naive(pattern, text.slice(1)))
    return text !== '' && pattern[0] === text[0] && naive(pattern.slice(1), text.slice(1))
  }
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 7 })
  const patterns = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*'), maxLength: 7 })
  const glob = (pattern: string) => Glob.parse(pattern) ?? new Glob([])

  it('match what a naive reading of them matches', () => {
    fc.assert(
      fc.property(patterns, letters, (pattern, text) => {
        expect(glob(pattern).matches(text)).toBe(naive(pattern, text))
      }),
      { numRuns: 2_000 },
    )
  })

  it('overlap if a text matches both, and cover only what they match', () => {
    fc.assert(
      fc.property(patterns, patterns, letters, (one, other, text) => {
        const [left, right] = [glob(one), glob(other)]
        expect(left.overlaps(right)).toBe(right.overlaps(left))
        if (left.matches(text) && right.matches(text)) expect(left.overlaps(right)).toBe(true)
        if (left.covers(right) && right.matches(text)) expect(left.matches(text)).toBe(true)
      }),
      { numRuns: 2_000 },
    )
    expect(glob('a*').overlaps(glob('b*'))).toBe(false)
    expect(glob('*a').overlaps(glob('b*'))).toBe(true)
    expect(glob('a*').covers(glob('ab*'))).toBe(true)
    expect(glob('ab*').covers(glob('a*'))).toBe(false)
  })

  it('take an asterisk and a backslash by their escapes', () => {
    expect(glob('a\\*b').matches('a*b')).toBe(true)
    expect(glob('a\\*b').matches('axb')).toBe(false)
    expect(glob('a\\\\b').matches('a\\b')).toBe(true)
    expect(Glob.parse('a\\b')).toBeUndefined()
  })

  it('stay fast on texts that make a backtracking matcher slow', () => {
    const started = performance.now()
    expect(glob('*a*a*a*a*a*a*a*a*b').matches('a'.repeat(100_000))).toBe(false)
    expect(performance.now() - started).toBeLessThan(1_000)
  })
})

describe('rules', () => {
  const names = fc.constantFrom('read', 'write', 'drop')
  const servers = fc.constantFrom('files', 'tickets')
  const options: fc.Arbitrary<AllowOptions> = fc.record(
    {
      role: fc.constantFrom('engineer', 'guest'),
      scope: fc.constantFrom('read', 'write'),
      tenant: fc.constantFrom('acme', 'other'),
      tools: fc.constantFrom('files/*', '*/read', 'tickets/drop', '*/*', 'files/w*'),
      arguments: fc.constantFrom<ArgumentConditions>(
        { '/path': { within: '/data' } },
        { '/count': { max: 5 } },
        { '/force': { absent: true } },
        { '/mode': ['a', 'b'] },
        { '/list/*': { prefix: 'x' } },
      ),
    },
    { requiredKeys: ['tools'] },
  )
  const rules = fc.array(
    fc.tuple(fc.boolean(), options).map(([isAllow, given]) => (isAllow ? allow(given) : deny(given))),
    { maxLength: 5 },
  )
  const principals = fc.record({
    tenant: fc.constantFrom('acme', 'other'),
    subject: fc.constant('s'),
    roles: fc.subarray(['engineer', 'guest']),
    scopes: fc.subarray(['read', 'write']),
  })
  const values = fc.oneof(
    fc.constantFrom('/data/x', '/data/../etc', '/etc', 'x', 'a', 'c', 3, 7, true, null),
    fc.array(fc.constantFrom('x1', 'y', 5)),
  )
  const given = fc.option(
    fc.dictionary(fc.constantFrom('path', 'count', 'force', 'mode', 'list', 'PATH', '__proto__'), values),
    { nil: undefined },
  )
  const targets = fc
    .tuple(servers, names, given)
    .map(([server, name, args]) => tool(server, name, args === undefined ? undefined : { ...args }))
  const rank = { deny: 0, depends: 1, allow: 2 } as const

  it('explain what they decide', () => {
    fc.assert(
      fc.property(rules, principals, targets, (entries, principal, target) => {
        const whole = policy(...entries)
        const decision = whole.decide(principal, target)
        const explanation = whole.explain(principal, target)
        if (decision instanceof Promise || explanation instanceof Promise) throw new Error('not at once')
        const expected = { allow: ['allowed'], depends: ['depends'], deny: ['denied', 'hidden'] }
        expect(expected[decision.effect]).toContain(explanation.outcome)
        expect(explanation.rules).toHaveLength(entries.length)
        if (decision.effect === 'allow') expect(explanation.rule?.effect).toBe('allow')
        if (decision.effect === 'deny' && decision.scopes !== undefined) {
          const stronger = { ...principal, scopes: [...principal.scopes, ...decision.scopes] }
          expect(whole.decide(stronger, target)).not.toMatchObject({ effect: 'deny' })
        }
      }),
      { numRuns: 3_000 },
    )
  })

  it('never allow more because of another deny, nor less because of another allow', () => {
    fc.assert(
      fc.property(rules, options, principals, targets, (entries, more, principal, target) => {
        const before = policy(...entries).decide(principal, target)
        const denied = policy(...entries, deny(more)).decide(principal, target)
        const allowed = policy(allow(more), ...entries).decide(principal, target)
        if (before instanceof Promise || denied instanceof Promise || allowed instanceof Promise) return
        expect(rank[denied.effect]).toBeLessThanOrEqual(rank[before.effect])
        expect(rank[allowed.effect]).toBeGreaterThanOrEqual(rank[before.effect])
      }),
      { numRuns: 3_000 },
    )
  })

  it('do not depend on their order, nor on arguments where there is no rule about them', () => {
    fc.assert(
      fc.property(rules, principals, targets, (entries, principal, target) => {
        const forth = policy(...entries).decide(principal, target)
        const back = policy(...entries.toReversed()).decide(principal, target)
        if (forth instanceof Promise || back instanceof Promise) return
        expect(back.effect).toBe(forth.effect)
        const bare = policy(...entries).decide(principal, tool(target.server, target.name))
        if (bare instanceof Promise || bare.effect === 'depends') return
        expect(forth.effect).toBe(bare.effect)
      }),
      { numRuns: 2_000 },
    )
  })

  it('are about nothing that they do not name', () => {
    const rule = allow({ tools: 'files/*' })
    expect(effectOf(rule, tool('files', 'a/b'))).toBe('allow')
    expect(effectOf(rule, tool('Files', 'a'))).toBe('deny')
    expect(effectOf(rule, { kind: 'prompt', server: 'files', name: 'a' })).toBe('deny')
    expect(effectOf(rule, { kind: 'method', server: 'files', name: 'tools/call' })).toBe('deny')
    expect(effectOf(rule, { kind: 'server', server: 'files', name: '' })).toBe('allow')
    expect(effectOf(rule, { kind: 'server', server: 'tickets', name: '' })).toBe('deny')
  })

  it('read a URI in every way that a server may', () => {
    const rule = allow({ resources: 'files/file:///data/*' })
    const read = (uri: string) => effectOf(rule, { kind: 'resource', server: 'files', name: uri })
    expect(read('file:///data/a')).toBe('allow')
    expect(read('file:///data/a%20b')).toBe('allow')
    for (const uri of [
      'file:///data/../etc/passwd',
      'file:///data/%2e%2e/etc/passwd',
      'file:///data/%252e%252e/etc/passwd',
      'file:///data/..%2fetc/passwd',
      'file:///data/..\\etc\\passwd',
      'file:///data/.%2e%5cetc',
      'FILE:///data/a',
      'file:///DATA/a',
      'file:///data/./../etc',
      'file:///data/\t../etc',
    ])
      expect(read(uri), uri).toBe('deny')
    const all = policy(allow({ servers: 'files' }), deny({ resources: 'files/file:///etc/*' }))
    for (const uri of [
      'file:///etc/passwd',
      'FILE:///etc/passwd',
      'file:///data/../etc/passwd',
      'file:///%65tc/passwd',
    ])
      expect(all.decide(ada, { kind: 'resource', server: 'files', name: uri }), uri).toMatchObject({
        effect: 'deny',
      })
  })

  it('show a template of which something is allowed', () => {
    const rule = allow({ resources: 'files/file:///data/*' })
    const template = (name: string) => effectOf(rule, { kind: 'resourceTemplate', server: 'files', name })
    expect(template('file:///data/{name}')).toBe('allow')
    expect(template('file:///{+path}')).toBe('depends')
    expect(template('secret:///{name}')).toBe('deny')
  })
})

describe('arguments', () => {
  const decide = (conditions: ArgumentConditions, given: JsonObject, effect: 'allow' | 'deny' = 'allow') => {
    const rule = { tools: 'files/read', arguments: conditions }
    const entries = effect === 'allow' ? [allow(rule)] : [allow({ tools: 'files/*' }), deny(rule)]
    const decision = policy(...entries).decide(ada, tool('files', 'read', given))
    return decision instanceof Promise ? 'promise' : decision.effect
  }

  it.each<[ArgumentConditions, JsonObject, JsonObject]>([
    [{ '/path': '/data' }, { path: '/data' }, { path: '/data/' }],
    [{ '/path': { prefix: '/data/' } }, { path: '/data/x' }, { path: 'x/data/' }],
    [{ '/path': { pattern: '*.txt' } }, { path: 'a.txt' }, { path: 'a.txt.exe' }],
    [{ '/path': { within: '/data' } }, { path: '/data//./x' }, { path: '/database' }],
    [{ '/path': { within: '/data' } }, { path: '/data' }, { path: '/data/../etc' }],
    [{ '/n': { min: 1, max: 5 } }, { n: 5 }, { n: 6 }],
    [{ '/n': { max: 5 } }, { n: 5 }, { n: '5' }],
    [{ '/n': [1, 2] }, { n: 2 }, { n: '2' }],
    [{ '/force': { absent: true } }, {}, { force: false }],
    [{ '/a/b': true }, { a: { b: true } }, { a: [] }],
    [{ '/paths/*': { within: '/data' } }, { paths: ['/data/a', '/data/b'] }, { paths: ['/data/a', '/etc'] }],
    [{ '/paths/*': { within: '/data' } }, { paths: [] }, {}],
    [{ '/limit': { max: 5, optional: true } }, {}, { limit: 6 }],
    [{ '/a~1b': 1 }, { 'a/b': 1 }, { a: { b: 1 } }],
  ])('%j fits %j and not %j', (conditions, fitting, other) => {
    expect(decide(conditions, fitting)).toBe('allow')
    expect(decide(conditions, other)).toBe('deny')
  })

  it('are only there if the message has them', () => {
    expect(decide({ '/constructor': { absent: true } }, {})).toBe('allow')
    expect(decide({ '/toString': { absent: true }, '/x': 1 }, { x: 1 })).toBe('allow')
    const polluted: JsonObject = JSON.parse('{"__proto__":{"path":"/data"}}')
    expect(decide({ '/path': '/data' }, polluted)).toBe('deny')
    expect(decide({ '/__proto__/path': '/data' }, polluted)).toBe('allow')
  })

  it('count against the caller where it cannot be said how the server reads them', () => {
    const forbidden: ArgumentConditions = { '/path': { within: '/etc' } }
    expect(decide(forbidden, { path: '/data' }, 'deny')).toBe('allow')
    for (const path of ['/etc/passwd', '/data/../etc', ['/etc'], null, 5, '~/x', 'etc'])
      expect(decide(forbidden, { path }, 'deny'), JSON.stringify(path)).toBe('deny')
    expect(decide(forbidden, { path: '/data', Path: '/etc' }, 'deny')).toBe('deny')
    expect(decide({ '/path': '/data' }, { path: '/data', PATH: '/etc' })).toBe('deny')
    expect(decide({ '/n': { min: 1_000 } }, { n: '5000' }, 'deny')).toBe('deny')
  })
})

describe('explanations', () => {
  const entries = [
    allow({ name: 'engineers', role: 'engineer', tools: 'files/*' }),
    deny({ name: 'no drop', tools: '*/drop' }),
    allow({ name: 'writers', role: ['writer', 'admin'], scope: 'write', tools: 'tickets/write' }),
    allow({ name: 'small', tools: 'tickets/read', arguments: { '/limit': { max: 5 } } }),
  ]

  it('name the rule that decides, and what would be needed', async () => {
    const explain = (target: PolicyTarget) => explainPolicy(entries, ada, target)
    expect(await explain(tool('files', 'read'))).toMatchObject({
      outcome: 'allowed',
      rule: { index: 0, effect: 'allow', name: 'engineers' },
      reason: 'rule 0 (engineers) allows it',
    })
    expect(await explain(tool('files', 'drop'))).toMatchObject({
      outcome: 'hidden',
      rule: { index: 1, name: 'no drop' },
      needs: [],
    })
    const write = await explain(tool('tickets', 'write'))
    expect(write.outcome).toBe('hidden')
    expect(write.rule).toBeUndefined()
    expect(write.needs).toEqual([
      { rule: { index: 2, effect: 'allow', name: 'writers' }, roles: ['writer', 'admin'], scopes: ['write'] },
    ])
    expect(write.rules[2]).toMatchObject({ applies: 'no', failed: ['role', 'scope'] })
    expect(await explain(tool('tickets', 'read'))).toMatchObject({ outcome: 'depends' })
    expect(await explain(tool('tickets', 'read', { limit: 9 }))).toMatchObject({
      outcome: 'denied',
      needs: [{ arguments: ['/limit'] }],
    })
  })

  it('come from the gateway as well', async () => {
    await using gateway = createGateway({
      servers: { files: { url: 'http://127.0.0.1:1/mcp' }, tickets: { url: 'http://127.0.0.1:1/mcp' } },
      policy: entries,
    })
    expect(await gateway.explain(ada, tool('files', 'read'))).toMatchObject({ outcome: 'allowed' })
    await using open = createGateway({ servers: {} })
    expect(await open.explain(ada, tool('files', 'read'))).toMatchObject({ outcome: 'allowed', rules: [] })
  })

  it('of a policy without reasons are its decision', async () => {
    const bare = { decide: () => Promise.resolve({ effect: 'deny' as const, scopes: ['x'] }) }
    expect(await explainPolicy(bare, ada, tool('files', 'read'))).toMatchObject({
      outcome: 'hidden',
      reason: 'the scope x is missing',
    })
  })

  it('change when the policy is replaced', () => {
    const current = createReplaceablePolicy(entries)
    expect(current.decide(ada, tool('files', 'read'))).toMatchObject({ effect: 'allow' })
    current.replace(allow({ tools: 'tickets/*' }))
    expect(current.decide(ada, tool('files', 'read'))).toMatchObject({ effect: 'deny' })
  })
})

describe('mistakes', () => {
  it('in a rule are all named at once', () => {
    const wrong: Record<string, unknown> = {
      tool: 'x',
      tools: ['files', 'a/b\\c'],
      role: '*',
      arguments: { path: 3, '/x': {} },
    }
    expect(() => allow(wrong)).toThrow(
      [
        'allow.role.0: is compared as it stands; leave it out to mean everybody',
        'allow.tools.0: expected <server>/<name>, such as files/* or */search, found "files"',
        'allow.tools.1: a backslash escapes an asterisk or a backslash: write \\* or \\\\',
        'allow.arguments.path: is no JSON Pointer: write /path',
        'allow.arguments./x: says nothing about the argument',
        'allow: there is no "tool" (did you mean "tools"?)',
      ].join('\n'),
    )
    expect(() => allow({ role: 'x' })).toThrow('allow: is about nothing: name servers, tools')
    expect(() => allow({ servers: 'x', arguments: { '/a': 1 } })).toThrow(
      'allow.arguments: a rule with arguments is about tools and prompts, not servers',
    )
  })

  it('say which rule it is, and what is meant', () => {
    const make = (effect: unknown, options: object) => () =>
      Reflect.apply(Object(effect), undefined, [options])
    expect(make(allow, { servers: '*', asks: 'files/sampling' })).toThrow('allow.asks: is for deny only')
    expect(make(deny, { servers: '*', advertise: true })).toThrow('deny.advertise: is for allow only')
    expect(make(allow, { name: 'reads', tools: 'files' })).toThrow(
      'allow (reads).tools.0: expected <server>/<name>',
    )
    expect(make(allow, { tools: 'a/b', arguments: { '/p': { withn: '/x' } } })).toThrow(
      'allow.arguments./p: there is no "withn" (did you mean "within"?)',
    )
    expect(make(allow, { tools: 'a/b', arguments: { '/b': { optional: true } } })).toThrow(
      'allow.arguments./b: says only that the argument is optional',
    )
  })

  it('are in plain words, with the numbers of explanations', () => {
    const servers = { files: { url: 'http://127.0.0.1:1/mcp' } }
    const make = (options: object) => () => createGateway({ servers, ...options })
    const named = [allow({ servers: '*' }), allow({ name: 'reads', tools: 'flies/*' })]
    expect(make({ policy: named })).toThrow('policy.1 (reads).tools.0: there is no server "flies"')
    expect(make({ policy: [named[0], {}, null] })).toThrow(
      /^policy\.1: expected what allow\(\) and deny\(\) return.*\npolicy\.2: expected/,
    )
    const limit = { name: 'a', per: 'user', point: 1, points: 0, durationSeconds: 1.5 }
    expect(make({ rateLimits: [limit] })).toThrow(
      [
        'rateLimits.0.per: expected "principal" or "tenant" or "principal+tool"',
        'rateLimits.0.points: expected a number greater than 0',
        'rateLimits.0.durationSeconds: expected a whole number',
        'rateLimits.0: there is no "point" (did you mean "points"?)',
      ].join('\n'),
    )
    expect(make({ toolsets: { 'a/b': { tools: ['files/x'] } } })).toThrow(
      'toolsets.a/b: is no name for this: expected letters, digits, ., - and _',
    )
    expect(make({ toolsets: { a: { tools: ['files/x'] } } })).toThrow(
      'toolsets.a.tools.0: expected an object, found string',
    )
  })

  it('in a question are no answer', async () => {
    await using gateway = createGateway({ servers: { files: { url: 'http://127.0.0.1:1/mcp' } } })
    const ask = (...question: readonly unknown[]): Promise<unknown> =>
      Reflect.apply(gateway.explain, gateway, question)
    const whole = { kind: 'tool', server: 'files', name: 'read' }
    await expect(ask(ada, { ...whole, kind: 'tol' })).rejects.toThrow(
      'explain.target.kind: there is no such kind (did you mean "tool"?)',
    )
    await expect(ask({ subject: 'x' }, whole)).rejects.toThrow(
      'explain.principal.tenant: is missing: expected a string',
    )
    await expect(ask(ada, 'files/x')).rejects.toThrow('explain.target: expected an object, found string')
    expect(await ask(ada, { ...whole, server: 'flies' })).toMatchObject({
      reason: 'there is no server "flies" (did you mean "files"?); the gateway has no policy',
    })
    expect(await ask(ada, whole)).toMatchObject({ reason: 'the gateway has no policy' })
  })

  it('about servers are found when the gateway is made', () => {
    const servers = { files: { url: 'http://127.0.0.1:1/mcp' } }
    const make = (options: object) => () => createGateway({ servers, ...options })
    expect(make({ policy: [allow({ tools: ['files/*', 'fles/*'] }), deny({ servers: 'team-*' })] })).toThrow(
      'policy.0.tools.1: there is no server "fles" (did you mean "files"?)\n' +
        'policy.1.servers.0: no server has a name like team-*',
    )
    expect(make({ policy: { effect: 'allow' } })).toThrow('policy: expected what allow() and deny() return')
    const limit = { name: 'a b', per: 'tool', tools: 'x', points: 0, durationSeconds: 1 }
    expect(make({ rateLimits: [limit] })).toThrow(
      /rateLimits\.0\.name: .*\n.*rateLimits\.0\.per: .*\n.*rateLimits\.0\.tools\.0: .*\n.*rateLimits\.0\.points: /,
    )
    expect(make({ toolsets: { 'a/b': { tools: [] } } })).toThrow('toolsets.a/b')
    expect(
      make({
        toolsets: {
          review: {
            tools: [
              { server: 'fils', tool: 'read' },
              { server: 'files', tool: 'read' },
            ],
          },
        },
      }),
    ).toThrow(
      'toolsets.review.tools.0.server: there is no server "fils" (did you mean "files"?)\n' +
        'toolsets.review.tools.1: is another "read": give it a name with "as"',
    )
  })
})

import { ConfigError, type ConfigIssue } from '@sallyport/core'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseMcpJson } from '../../src/config/parse-mcp-json.ts'

function issuesOf(text: string, env: Record<string, string> = {}): readonly ConfigIssue[] {
  try {
    parseMcpJson(text, { env, file: 'mcp.json' })
  } catch (error) {
    if (error instanceof ConfigError) return error.issues
    throw error
  }
  throw new Error('was accepted')
}

/** The issues of one server entry, as `path: message`, without the common start of the path. */
function mistakes(entry: unknown, env: Record<string, string> = {}): string[] {
  const text = JSON.stringify({ mcpServers: { s: entry } })
  return issuesOf(text, env).map(
    ({ path, message }) => `${path.replace(/^mcpServers\.s\.?/, '')}: ${message}`,
  )
}

function server(entry: unknown, env: Record<string, string> = {}) {
  return parseMcpJson(JSON.stringify({ mcpServers: { s: entry } }), { env }).servers['s']
}

function warnings(entry: unknown): string[] {
  const text = JSON.stringify({ mcpServers: { s: entry } })
  return parseMcpJson(text).warnings.map(
    ({ path, message }) => `${path.replace(/^mcpServers\.s\.?/, '')}: ${message}`,
  )
}

describe('files of clients work unchanged', () => {
  test('Claude Desktop', () => {
    const parsed = parseMcpJson(`{
      "globalShortcut": "",
      "mcpServers": {
        "filesystem": {
          "command": "npx",
          "args": ["-y", "@modelcontextprotocol/server-filesystem", "/Users/ada/Desktop"]
        },
        "github": { "command": "docker", "args": ["run", "-i"], "env": { "GITHUB_TOKEN": "t" } }
      }
    }`)
    expect(parsed).toEqual({
      servers: {
        filesystem: {
          command: 'npx',
          args: ['-y', '@modelcontextprotocol/server-filesystem', '/Users/ada/Desktop'],
        },
        github: { command: 'docker', args: ['run', '-i'], env: { GITHUB_TOKEN: 't' } },
      },
      warnings: [],
    })
  })

  test('Claude Code, with variables', () => {
    const text = `{ "mcpServers": { "api": {
      "type": "http",
      "url": "\${API_BASE_URL:-https://api.example.com}/mcp",
      "headers": { "Authorization": "Bearer \${API_KEY}" },
      "timeout": 30000
    }, "old": { "type": "sse", "url": "http://localhost:9000/sse" } } }`
    expect(parseMcpJson(text, { env: { API_KEY: 'k' } })).toEqual({
      servers: {
        api: { url: 'https://api.example.com/mcp', headers: { Authorization: 'Bearer k' }, timeoutMs: 30000 },
        old: { url: 'http://localhost:9000/sse', transport: 'sse' },
      },
      warnings: [],
    })
  })

  test('Cursor, with a switch', () => {
    const text = `{ "mcpServers": {
      "on": { "url": "https://a.example/mcp", "disabled": false, "autoApprove": ["x"] },
      "off": { "url": "\${NOT_SET}", "disabled": true },
      "also-off": { "enabled": false }
    } }`
    expect(parseMcpJson(text)).toEqual({ servers: { on: { url: 'https://a.example/mcp' } }, warnings: [] })
  })

  test('VS Code, with comments and trailing commas', () => {
    const text = `\uFEFF{
      // asked for once
      "inputs": [{ "type": "promptString", "id": "token", "password": true, }],
      "servers": {
        "play": { "type": "stdio", "command": "npx", "args": ["play",], "env": { "PORT": 3, "X": null } }, /* local */
        "remote": { "type": "http", "url": "https://b.example/mcp" },
      },
    }`
    expect(parseMcpJson(text)).toEqual({
      servers: {
        play: { command: 'npx', args: ['play'], env: { PORT: '3' } },
        remote: { url: 'https://b.example/mcp' },
      },
      warnings: [],
    })
  })

  test('both containers together', () => {
    const parsed = parseMcpJson('{"servers": {"a": {"command": "x"}}, "mcpServers": {"b": {"command": "y"}}}')
    expect(Object.keys(parsed.servers)).toEqual(['a', 'b'])
    expect(
      issuesOf('{"servers": {"a": {"command": "x"}}, "mcpServers": {"a": {"command": "y"}}}'),
    ).toMatchObject([{ path: 'mcpServers.a', message: 'has the name of a server under "servers"' }])
  })

  test.each([
    ['streamable-http', { transport: 'streamable-http' }],
    ['streamableHttp', { transport: 'streamable-http' }],
    ['http', {}],
    ['sse', { transport: 'sse' }],
  ])('transport %s', (transport, extra) => {
    expect(server({ url: 'https://a.example', transport })).toEqual({ url: 'https://a.example', ...extra })
    expect(server({ url: 'https://a.example', type: transport })).toEqual({
      url: 'https://a.example',
      ...extra,
    })
  })
})

describe('every mistake is reported, with its place', () => {
  test('lines and columns', () => {
    const text = [
      '{',
      '  "mcpServers": {',
      '    "files": { "command": 7, "args": ["a", 8, null] },',
      '    "web": {',
      '      "url": "example.com",',
      '      "headers": []',
      '    }',
      '  }',
      '}',
    ].join('\n')
    expect(issuesOf(text)).toEqual([
      { line: 3, column: 27, path: 'mcpServers.files.command', message: 'found a number, expected text' },
      { line: 3, column: 44, path: 'mcpServers.files.args[1]', message: 'found a number, expected text' },
      { line: 3, column: 47, path: 'mcpServers.files.args[2]', message: 'found null, expected text' },
      {
        line: 5,
        column: 14,
        path: 'mcpServers.web.url',
        message: 'found text that is not an absolute http or https URL',
      },
      {
        line: 6,
        column: 18,
        path: 'mcpServers.web.headers',
        message: 'found an array, expected an object of texts',
      },
    ])
    const windows = issuesOf(text.replaceAll('\n', '\r\n'))
    expect(windows).toEqual(issuesOf(text))
    expect(issuesOf(`\uFEFF${text}`)).toEqual(issuesOf(text))
    expect(() => parseMcpJson(text, { file: 'mcp.json' })).toThrow(
      'mcp.json:3:27: mcpServers.files.command: found a number, expected text\nmcp.json:3:44:',
    )
  })

  test('text that is not JSON', () => {
    expect(issuesOf('{\n  "mcpServers": {\n    "a" { "command": "x" }\n  }\n}')).toMatchObject([
      { line: 3, column: 9, message: 'not valid JSON: expected a colon after the key' },
    ])
    expect(issuesOf('{ "mcpServers": {')).toMatchObject([
      { line: 1, message: 'not valid JSON: expected "}"' },
    ])
    expect(issuesOf("{ 'mcpServers': {} }").length).toBeGreaterThan(0)
    expect(issuesOf('')).not.toEqual([])
    expect(issuesOf('# yaml: true')).not.toEqual([])
    expect(issuesOf('{"mcpServers": {}} {}')).toMatchObject([
      { message: 'not valid JSON: expected nothing more after the last "}"' },
    ])
    expect(issuesOf('['.repeat(100_000))).toMatchObject([
      { message: 'not valid JSON: it is nested too deeply' },
    ])
  })

  test('a file without servers', () => {
    const missing = 'has no key "mcpServers" (or "servers") that holds the servers'
    expect(issuesOf('{}')).toMatchObject([{ line: 1, message: missing }])
    expect(issuesOf('{"mcpservers": {}}')[0]?.message).toBe(
      `${missing}; did you mean "mcpServers" by "mcpservers"?`,
    )
    expect(issuesOf('{"mcp_servers": {}}')[0]?.message).toBe(
      `${missing}; did you mean "mcpServers" by "mcp_servers"?`,
    )
    expect(issuesOf('{"files": {"command": "x"}}')[0]?.message).toBe(`${missing}; put the servers inside it`)
    expect(issuesOf('[]')[0]?.message).toBe('found an array, expected an object with the key "mcpServers"')
    expect(issuesOf('{"mcpServers": []}')[0]?.message).toBe(
      'found an array, expected an object of servers by name',
    )
    expect(parseMcpJson('{"mcpServers": {}}').warnings).toMatchObject([
      { message: 'holds no server that is switched on' },
    ])
  })

  test('keys that stand twice', () => {
    const text =
      '{\n"mcpServers": {\n"a": {"command": "x", "env": {"A": "1", "A": "2"}},\n"a": {"command": "y"}\n}, "mcpServers": {}}'
    expect(issuesOf(text)).toMatchObject([
      { line: 3, path: 'mcpServers.a.env.A', message: 'stands twice; the first is in line 3' },
      { line: 4, path: 'mcpServers.a', message: 'stands twice; the first is in line 3' },
      { line: 5, path: 'mcpServers', message: 'stands twice; the first is in line 2' },
    ])
  })

  test('names', () => {
    const named = (name: string) => JSON.stringify({ mcpServers: { [name]: { command: 'x' } } })
    for (const name of ['', '/', 'a/b', 'x'.repeat(65), '..', '.', 'a\nb', '\u0000', '\u2028', '\ud800']) {
      expect(issuesOf(named(name))).toHaveLength(1)
    }
    for (const name of ['x'.repeat(64), 'My Server', 'ä', '😀', 'constructor', 'toString', '7', 'a.b', '-']) {
      expect(Object.keys(parseMcpJson(named(name)).servers)).toEqual([name])
    }
    expect(issuesOf('{"mcpServers": {"my.server": 7}}')).toMatchObject([{ path: 'mcpServers["my.server"]' }])
  })

  test('names that JavaScript treats specially are harmless', () => {
    const text = `{ "mcpServers": {
      "__proto__": { "command": "a", "env": { "__proto__": "polluted", "constructor": "c" } },
      "hasOwnProperty": { "url": "https://a.example", "headers": { "__proto__": "x" } }
    } }`
    const { servers } = parseMcpJson(text)
    expect(Object.keys(servers)).toEqual(['__proto__', 'hasOwnProperty'])
    expect(Object.getPrototypeOf(servers)).toBe(Object.prototype)
    const [own] = Object.values(servers)
    expect(own).toMatchObject({ command: 'a' })
    expect(Object.entries(own !== undefined && 'env' in own ? (own.env ?? {}) : {})).toEqual([
      ['__proto__', 'polluted'],
      ['constructor', 'c'],
    ])
    expect('polluted' in {}).toBe(false)
  })

  test('an entry of the wrong kind', () => {
    expect(mistakes(7)).toEqual([': found a number, expected an object with "command" or "url"'])
    expect(mistakes({})).toEqual([': has neither "command" nor "url"'])
    expect(mistakes({ args: ['x'] })).toEqual([': has neither "command" nor "url"'])
    expect(mistakes({ serverUrl: 'https://a.example' })).toEqual([
      ': has neither "command" nor "url"; did you mean "url" by "serverUrl"?',
    ])
    expect(mistakes({ comand: 'x' })).toEqual([
      ': has neither "command" nor "url"; did you mean "command" by "comand"?',
    ])
    expect(mistakes({ command: 'x', url: 'https://a.example' })).toEqual([
      'url: stands beside "command"; expected one of them',
    ])
    expect(mistakes({ command: '' })).toEqual(['command: found an empty string, expected text'])
    expect(mistakes({ command: '${EMPTY}' }, { EMPTY: '' })).toEqual([
      'command: is empty once its variables are filled in',
    ])
    expect(mistakes({ command: 'x', disabled: 'yes' })).toEqual([
      'disabled: found a string, expected true or false',
    ])
  })

  test('transports that contradict the rest', () => {
    expect(mistakes({ type: 'stdio', url: 'https://a.example' })).toEqual([
      'url: does not go with the transport "stdio", which needs "command"',
    ])
    expect(mistakes({ type: 'sse', command: 'x' })).toEqual([
      'command: does not go with the transport "sse", which needs "url"',
    ])
    expect(mistakes({ type: 'http', transport: 'sse', url: 'https://a.example' })).toEqual([
      'transport: contradicts "type"; one of them is enough',
    ])
    expect(mistakes({ type: 'ws', url: 'https://a.example' })).toEqual([
      'type: found "ws", expected "stdio", "http", "streamable-http" or "sse"',
    ])
    expect(mistakes({ type: '__proto__', url: 'https://a.example' })).toHaveLength(1)
  })

  test('timeouts', () => {
    for (const timeout of [0, -1, '5', null, 2 ** 31])
      expect(mistakes({ command: 'x', timeout })).toHaveLength(1)
    expect(server({ command: 'x', timeout: 1500.2 })).toEqual({ command: 'x', timeoutMs: 1501 })
    expect(warnings({ command: 'x', timeout: 60 })).toEqual([
      'timeout: is counted in milliseconds and ends calls in less than a second',
    ])
  })

  test('headers and URLs', () => {
    const url = 'https://a.example'
    expect(mistakes({ url, headers: { 'a b': 'x' } })).toEqual([
      'headers["a b"]: is not a name that a header can have',
    ])
    expect(mistakes({ url, headers: { X: 'a\r\nEvil: 1' } })[0]).toContain('a header cannot carry')
    expect(mistakes({ url, headers: { X: '${V}' } }, { V: 'a\nb' })[0]).toContain('a header cannot carry')
    expect(mistakes({ url, headers: { 'Content-Length': '1' } })[0]).toContain('sets itself')
    expect(mistakes({ url, headers: { X: '1', x: '2' } })[0]).toContain('stands twice')
    expect(mistakes({ url, headers: { X: 7 } })).toEqual(['headers.X: found a number, expected text'])
    for (const bad of ['ftp://a', 'a.example', '/mcp', 'file:///etc/passwd', 'javascript:alert(1)', '']) {
      expect(mistakes({ url: bad })).toHaveLength(1)
    }
    expect(mistakes({ url: 'https://ada:canary@a.example' })[0]).not.toContain('canary')
  })

  test('environment', () => {
    expect(mistakes({ command: 'x', env: { 'A=B': 'x' } })).toHaveLength(1)
    expect(mistakes({ command: 'x', env: { A: true } })).toEqual([
      'env.A: found a boolean, expected text, a number or null',
    ])
    expect(mistakes({ command: 'x', env: { A: 'a\u0000b' } })).toHaveLength(1)
  })
})

describe('variables', () => {
  const expand = (text: string, env: Record<string, string> = {}) => server({ command: text }, env)

  test('are filled in', () => {
    const env = { A: 'a', B_2: 'b', EMPTY: '', NESTED: '${A}' }
    expect(expand('${A}-${env:B_2}', env)).toEqual({ command: 'a-b' })
    expect(expand('${NO:-x y}${EMPTY:-z}${env:NO:-w}', env)).toEqual({ command: 'x yzw' })
    expect(expand('${NO:-}.${EMPTY}', env)).toEqual({ command: '.' })
    expect(expand('${NO:-http://h:1}', env)).toEqual({ command: 'http://h:1' })
    expect(expand('${NESTED}', env)).toEqual({ command: '${A}' })
    expect(expand('$A $$ ${ $', env)).toEqual({ command: '$A $$ ${ $' })
    const all = { command: '${A}', args: ['${A}'], env: { X: '${A}', '${A}': 'y' }, cwd: '/${A}' }
    expect(server(all, env)).toEqual({ command: 'a', args: ['a'], env: { X: 'a', '${A}': 'y' }, cwd: '/a' })
  })

  test('that are missing are reported together', () => {
    expect(
      mistakes({ command: '${NO} ${NOT}', env: { A: '${input:token}' }, cwd: '${workspaceFolder}/x' }),
    ).toEqual([
      'command: the environment variable NO is not set, and there is no default',
      'command: the environment variable NOT is not set, and there is no default',
      'env.A: "${input:token}" would be asked for by an editor; a gateway has nobody to ask: use an environment variable',
      'cwd: "${workspaceFolder}" is filled in by editors only; write the path itself',
    ])
    for (const bad of ['${}', '${a b}', '${1}', '${A-b}', '${command:x}'])
      expect(mistakes({ command: bad })).toHaveLength(1)
    expect(mistakes({ command: '${__proto__}${constructor}' })).toHaveLength(2)
  })
})

describe('keys without effect', () => {
  test('are silent where clients write them, else a warning says so', () => {
    expect(warnings({ command: 'x', alwaysAllow: [], description: 'd', gallery: true, trust: true })).toEqual(
      [],
    )
    expect(warnings({ command: 'x', arg: [] })).toEqual([
      'arg: is not a known key and has no effect; did you mean "args"?',
    ])
    expect(warnings({ url: 'https://a.example', header: {} })).toEqual([
      'header: is not a known key and has no effect; did you mean "headers"?',
    ])
    expect(warnings({ command: 'x', quux: 1 })).toEqual(['quux: is not a known key and has no effect'])
    expect(warnings({ command: 'x', envFile: '.env' })).toEqual([
      'envFile: has no effect here: write the variables into "env"',
    ])
    expect(warnings({ command: 'x', headers: {} })).toEqual(['headers: has no effect beside "command"'])
    const { warnings: top } = parseMcpJson('{\n"mcpServers": {"a": {"command": "x"}},\n"extra": 1}')
    expect(top).toEqual([
      { line: 3, column: 1, path: 'extra', message: 'is not a known key and has no effect' },
    ])
  })
})

/** Lines of what is wrong with a text; anything but a ConfigError fails the test. */
function placesOf(text: string): (number | undefined)[] {
  try {
    parseMcpJson(text)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.issues.map(({ line }) => line)
    throw error
  }
}

describe('any text', () => {
  test('gives servers or a ConfigError', () => {
    const key = fc.constantFrom(
      'mcpServers',
      'servers',
      'command',
      'url',
      'args',
      'env',
      '__proto__',
      'type',
      'x',
    )
    const value = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 5 },
        fc.constantFrom('stdio', 'https://a.example', '${A}', '${', '', 'x'),
        fc.jsonValue(),
        fc.dictionary(key, tie('value')),
        fc.array(tie('value'), { maxLength: 3 }),
      ),
    })).value
    const text = fc.oneof(
      fc.string(),
      value.map((v) => JSON.stringify(v)),
      value.map((v) => JSON.stringify(v).slice(1)),
    )
    fc.assert(
      fc.property(text, (source) => {
        const places = placesOf(source)
        expect(places.every((line) => line !== undefined && line > 0)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  test('no message holds a value', () => {
    const canary = 'canary-7f3a'
    const texts = [
      { url: `not a url ${canary}` },
      { url: `https://u:${canary}@a.example` },
      { url: 'https://a.example', headers: { A: `x\n${canary}` } },
      { command: 'x', env: { A: `${canary}\0`, B: '${NO}' } },
      { command: 'x', args: { [`a`]: canary }, timeout: canary },
    ]
    for (const entry of texts) expect(mistakes(entry).join()).not.toContain(canary)
  })
})

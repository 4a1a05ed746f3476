import { ConfigError, SallyportError } from '@sallyport/core'
import { createMemoryServerRegistry } from '@sallyport/core/memory'
import { createGateway, type Gateway } from '@sallyport/gateway'
import { nodeHandler, statusHandler } from '@sallyport/gateway/node'
import { serveStdio } from '@sallyport/gateway/stdio'
import { describe, expect, test } from 'vitest'

const servers = { files: { command: 'node' } }

/** As JavaScript calls it, where nobody has looked at types. */
const create: (...given: readonly unknown[]) => Gateway = (...given) =>
  Reflect.apply(createGateway, undefined, given)

function mistakesOf(make: () => unknown): readonly string[] {
  try {
    make()
  } catch (error) {
    if (error instanceof ConfigError && SallyportError.isInstance(error)) return error.message.split('\n')
    throw error
  }
  return []
}

describe('options that would switch something off', () => {
  test.each<[string, object, string]>([
    ['a misspelt option', { polices: [] }, 'there is no "polices" (did you mean "policy"?)'],
    [
      'a misspelt phase',
      { interceptors: [{ name: 'x', respons: { body: 'none', handle() {} } }] },
      'interceptors.0: there is no "respons" (did you mean "response"?)',
    ],
    [
      'a response that is a function',
      { interceptors: [{ name: 'x', response: () => {} }] },
      "interceptors.0.response: expected { body: 'none' | 'size' | 'buffer', handle }, found a function",
    ],
    [
      'an interceptor without any phase',
      { interceptors: [{ name: 'x', intercept() {} }] },
      'interceptors.0: does nothing: it has neither list nor request nor response',
    ],
    [
      'an interceptor without name',
      { interceptors: [{ request() {} }] },
      'interceptors.0.name: expected a text that is not empty',
    ],
    ['an empty recorder', { audit: {} }, 'audit: expected an object with a function "begin"'],
    [
      'an empty authenticator',
      { authenticate: {} },
      'authenticate: expected an object with a function "authenticate"',
    ],
    [
      'an authenticator that is a function',
      { authenticate: () => ({}) },
      'authenticate: expected an object with a function "authenticate", found a function: write { authenticate: … }',
    ],
    [
      'half a session store',
      { sessions: { get() {}, put() {} } },
      'sessions: expected an object with the functions "update", "delete"',
    ],
    ['a clock that stands', { now: 1 }, 'now: expected a function'],
    [
      'a URL for a host',
      { allowedHosts: ['https://x.y'] },
      'allowedHosts.0: expected a host and perhaps a port, such as mcp.example.com or mcp.example.com:8443',
    ],
    [
      'an origin that no browser sends',
      { allowedOrigins: ['https://x.y/'] },
      'allowedOrigins.0: expected scheme, host and port as browsers send them, such as https://app.example.com, and no path',
    ],
    [
      'a query in the URL',
      { publicUrl: 'http://mcp.example.com/mcp?x=1' },
      'publicUrl: must not have a query or a fragment',
    ],
    ['a limit that is none', { limits: { depth: 0 } }, 'limits.depth: expected a number greater than 0'],
    [
      'a misspelt limit',
      { limits: { callsMs: 1 } },
      'limits: there is no "callsMs" (did you mean "callMs"?)',
    ],
  ])('%s', (_, wrong, message) => {
    expect(mistakesOf(() => create({ servers, ...wrong }))).toEqual([message])
  })

  test('all mistakes are named at once', () => {
    expect(mistakesOf(() => create({ servers, polices: [], audit: {}, now: 1 }))).toHaveLength(3)
  })

  test('ports and interceptors may be instances of classes, with members of their own', async () => {
    class Own {
      readonly name = 'own'
      readonly requests: unknown[] = []
      readonly limit = 3
      begin() {
        return { end() {} }
      }
      request(_context: unknown, call: unknown) {
        this.requests.push(call)
        return call
      }
    }
    await using gateway = create({ servers, audit: new Own(), interceptors: [new Own()] })
    expect(gateway.health().ready).toBe(true)
  })
})

describe('definitions of servers', () => {
  test.each<[string, object, string]>([
    ['a misspelt member', { command: 'x', arg: [] }, 'servers.a: there is no "arg" (did you mean "args"?)'],
    [
      'another name for the command',
      { cmd: 'node' },
      'servers.a: there is no "cmd" (did you mean "command"?); expected { command } to start a process or { url } to reach a server over HTTP',
    ],
    [
      'another name for a member',
      { command: 'x', environment: {} },
      'servers.a: there is no "environment" (did you mean "env"?)',
    ],
    [
      'both kinds',
      { command: 'x', url: 'http://x' },
      'servers.a: has "command" and "url": expected one of them',
    ],
    [
      'a wrong retry',
      { url: 'http://x', retry: { onlyIf: 'always' } },
      'servers.a.retry.onlyIf: expected "annotated"',
    ],
    [
      'too many attempts',
      { command: 'x', retry: { onlyIf: 'annotated', attempts: 9 } },
      'servers.a.retry.attempts: expected a number of at most 5',
    ],
    ['no URL', { url: 'nope' }, 'servers.a.url: expected an absolute http or https URL'],
  ])('%s', (_, definition, message) => {
    expect(mistakesOf(() => create({ servers: { a: definition } }))).toEqual([message])
  })

  test('in a registry change nothing', async () => {
    const wrong: { command: string } = Object.assign({ command: 'node' }, { arg: [] })
    const logged: string[] = []
    const log = (message: string, fields?: unknown) => void logged.push(message + JSON.stringify(fields))
    const logger = { debug() {}, info() {}, warn() {}, error: log }
    await using gateway = createGateway({ servers: createMemoryServerRegistry({ wrong }), logger })
    await gateway.ready()
    expect(gateway.status().upstreams).toEqual([])
    expect(logged.join()).toContain('did you mean')
  })
})

test.each<[string, () => unknown, string]>([
  ['no options', () => create(), 'expected options, such as createGateway({ servers:'],
  ['no servers', () => create({}), 'servers: is missing: name your servers'],
  ['half a registry', () => create({ servers: { list() {} } }), 'servers: a registry has the functions'],
  [
    'no gateway for HTTP',
    () => Reflect.apply(nodeHandler, undefined, [{}]),
    'gateway: expected what createGateway() returned',
  ],
  [
    'no gateway for its status',
    () => Reflect.apply(statusHandler, undefined, [{}]),
    'gateway: expected what createGateway() returned',
  ],
])('%s is a mistake in the configuration', (_, make, message) => {
  expect(mistakesOf(make).join('\n')).toContain(message)
})

test('a caller whose address the web server does not know is none on this machine', async () => {
  await using gateway = createGateway({ servers })
  const request = new Request('http://localhost/mcp', { method: 'POST', body: '{}' })
  expect((await gateway.fetch(request, { remoteAddress: undefined })).status).toBe(403)
})

test('a server for one client that is not there', async () => {
  await using gateway = createGateway({ servers })
  expect(mistakesOf(() => serveStdio(gateway, { server: 'flies' }))).toEqual([
    'serveStdio.server: there is no server "flies" (did you mean "files"?)',
  ])
  const misspelt: object = { sever: 'files' }
  expect(mistakesOf(() => serveStdio(gateway, misspelt))).toEqual([
    'serveStdio: there is no "sever" (did you mean "server"?)',
  ])
})

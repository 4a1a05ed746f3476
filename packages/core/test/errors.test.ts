import { describe, expect, test, vi } from 'vitest'
import {
  ConfigError,
  GatewayError,
  SallyportError,
  StorageUnavailableError,
  UpstreamError,
} from '../src/index.ts'

const errors = [
  new ConfigError([{ path: 'a', message: 'b' }]),
  new GatewayError('ERR_FORBIDDEN', 'no'),
  new StorageUnavailableError('down'),
  new UpstreamError('ERR_UPSTREAM_TIMEOUT', 'files', 'took too long'),
]

describe('every error', () => {
  test.each(errors)('$name is recognised, has a code and a stack', (error) => {
    expect(SallyportError.isInstance(error)).toBe(true)
    expect(error).toBeInstanceOf(SallyportError)
    expect(error).toBeInstanceOf(Error)
    expect(error.name).toMatch(/^(Config|Gateway|StorageUnavailable|Upstream)Error$/)
    expect(error.code).toMatch(/^ERR_[A-Z_]+$/)
    expect(error.stack).toContain('errors.test.ts')
    expect(String(error)).toBe(`${error.name}: ${error.message}`)
  })

  test('keeps its cause', () => {
    const cause = new Error('inner')
    expect(new ConfigError([], { cause }).cause).toBe(cause)
    expect(new GatewayError('ERR_PROTOCOL', 'x', { cause }).cause).toBe(cause)
    expect(new StorageUnavailableError('x', { cause }).cause).toBe(cause)
    expect(new UpstreamError('ERR_UPSTREAM_ERA', 's', 'x', { cause }).cause).toBe(cause)
    expect('cause' in new StorageUnavailableError('x')).toBe(false)
  })

  test('of another installed copy is recognised too', async () => {
    // Forgetting the modules makes second instances of them, as a second copy in node_modules does.
    vi.resetModules()
    const copy = await import('../src/errors/config-error.ts')
    const { SallyportError: Other } = await import('../src/errors/sallyport-error.ts')
    const foreign = new copy.ConfigError([{ path: 'a', message: 'b' }])
    expect(foreign).not.toBeInstanceOf(ConfigError)
    expect(SallyportError.isInstance(foreign)).toBe(true)
    expect(Other).not.toBe(SallyportError)
    expect(Other.isInstance(errors[0])).toBe(true)
  })

  test('nothing else is taken for one', () => {
    const others = [
      undefined,
      null,
      0,
      '',
      'ERR_CONFIG',
      {},
      [],
      new Error('x'),
      { code: 'ERR_CONFIG' },
      () => {},
    ]
    expect(others.filter((other) => SallyportError.isInstance(other))).toEqual([])
    expect(SallyportError.isInstance({ [Symbol.for('@sallyport/error')]: 'true' })).toBe(false)
  })
})

describe('a ConfigError', () => {
  test('says where, in a form that terminals and editors can follow', () => {
    const issues = [
      { path: 'mcpServers.files.command', message: 'found a number, expected text', line: 3, column: 7 },
      { path: 'mcpServers.web', message: 'has no url', line: 9 },
      { path: '', message: 'ends too early' },
    ]
    const error = new ConfigError(issues, { file: 'conf/mcp.json' })
    expect(error.message.split('\n')).toEqual([
      'conf/mcp.json:3:7: mcpServers.files.command: found a number, expected text',
      'conf/mcp.json:9: mcpServers.web: has no url',
      'conf/mcp.json: ends too early',
    ])
    expect(error).toMatchObject({ code: 'ERR_CONFIG', file: 'conf/mcp.json', issues })
  })

  test('does without a file', () => {
    expect(new ConfigError([{ path: 'servers', message: 'is missing' }]).message).toBe('servers: is missing')
    expect(new ConfigError([{ path: '', message: 'is empty', line: 1, column: 1 }]).message).toBe(
      '1:1: is empty',
    )
    expect(new ConfigError([]).file).toBeUndefined()
  })
})

test('an UpstreamError names the server, and is not safe to retry unless it says so', () => {
  const error = new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', 'files', 'does not answer')
  expect(error).toMatchObject({
    message: 'server "files": does not answer',
    server: 'files',
    retrySafe: false,
  })
  expect(new UpstreamError('ERR_UPSTREAM_UNAVAILABLE', 'files', 'x', { retrySafe: true }).retrySafe).toBe(
    true,
  )
})

test('a GatewayError carries what the caller may see', () => {
  const data = { limit: 4_000_000 }
  expect(new GatewayError('ERR_LIMIT_EXCEEDED', 'too long', { data })).toMatchObject({
    data,
    code: 'ERR_LIMIT_EXCEEDED',
  })
  expect(new GatewayError('ERR_LIMIT_EXCEEDED', 'too long').data).toBeUndefined()
})

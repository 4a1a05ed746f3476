import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { finished } from 'node:stream/promises'
import { ConfigError, type ServerProcess, type StdioServerDefinition, UpstreamError } from '@sallyport/core'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createChildProcessRuntime } from '../../src/runtime/child-process-runtime.ts'

const runtime = createChildProcessRuntime()
const never = new AbortController().signal

async function start(definition: StdioServerDefinition, using = runtime): Promise<ServerProcess> {
  const started = await using.start({ name: 's', definition }, never)
  onTestFinished(async () => {
    started.kill()
    await started.exited
  })
  return started
}

function script(source: string, more: Partial<StdioServerDefinition> = {}): StdioServerDefinition {
  return { command: process.execPath, args: ['-e', source], ...more }
}

/** A process that is dead but not yet reaped by its parent counts as gone. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  if (process.platform !== 'linux') return true
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

const gone = (pid: number) => vi.waitFor(() => expect(isAlive(pid)).toBe(false), { timeout: 5_000 })

async function firstLine(started: ServerProcess): Promise<string> {
  let received = ''
  for await (const chunk of started.stdout.iterator({ destroyOnReturn: false })) {
    received += String(chunk)
    if (received.includes('\n')) return received.slice(0, received.indexOf('\n'))
  }
  throw new Error(`ended after ${JSON.stringify(received)}`)
}

describe('environment', () => {
  const show = script('process.stdout.write(JSON.stringify(process.env))')
  const source = {
    PATH: process.env['PATH'],
    HOME: '/home/ada',
    LC_ALL: 'C',
    LANG: undefined,
    AWS_SECRET_ACCESS_KEY: 'canary',
    DATABASE_URL: 'canary',
    NODE_OPTIONS: '--no-warnings',
    USER: '() { :; }; echo canary',
    HTTPS_PROXY: 'http://ada:pw@proxy',
  }

  test('is minimal, and the definition adds to it', async () => {
    const own = createChildProcessRuntime({ environment: source, inherit: ['HTTPS_PROXY', 'NOT_THERE'] })
    const started = await start({ ...show, env: { TOKEN: 't', HOME: '/srv' } }, own)
    expect(JSON.parse(await text(started.stdout))).toEqual({
      PATH: source.PATH,
      HOME: '/srv',
      LC_ALL: 'C',
      HTTPS_PROXY: 'http://ada:pw@proxy',
      TOKEN: 't',
    })
  })

  test('by default has the PATH of this process and nothing secret', async () => {
    process.env['SALLYPORT_TEST_CANARY'] = 'canary'
    onTestFinished(() => void delete process.env['SALLYPORT_TEST_CANARY'])
    const found: unknown = JSON.parse(await text((await start(show)).stdout))
    expect(found).toMatchObject({ PATH: process.env['PATH'] })
    expect(found).not.toHaveProperty('SALLYPORT_TEST_CANARY')
    expect(found).not.toHaveProperty('NODE_ENV')
    expect(found).not.toHaveProperty('VITEST')
  })

  test('may be the one of this process', async () => {
    const own = createChildProcessRuntime({ environment: process.env, inherit: ['NODE_ENV'] })
    expect(JSON.parse(await text((await start(show, own)).stdout))).toMatchObject({
      NODE_ENV: process.env['NODE_ENV'],
    })
    expect(() => createChildProcessRuntime(JSON.parse('{"environment": {"A": 7}}'))).toThrow(ConfigError)
  })

  test('may decide where programs are found', async () => {
    const definition = { command: 'sh', args: ['-c', 'echo found'], env: { PATH: '/nowhere' } }
    await expect(runtime.start({ name: 's', definition }, never)).rejects.toThrow(
      /no program "sh" on its PATH/,
    )
  })
})

describe('a server that cannot be started', () => {
  test.each<[string, StdioServerDefinition, RegExp]>([
    [
      'a missing program',
      { command: 'no-such-program-here' },
      /no program "no-such-program-here" on its PATH/,
    ],
    ['a missing file', { command: '/no/such/file' }, /there is no program "\/no\/such\/file"/],
    [
      'a missing folder',
      script('', { cwd: '/no/such/folder' }),
      /the folder "\/no\/such\/folder" \(cwd\) does not exist/,
    ],
    ['a file that is no program', { command: '/etc/passwd' }, /not a program that may be executed/],
    ['a null character', { command: 'x', args: ['\0'] }, /cannot be started/],
    ['too much', { command: 'true', args: ['x'.repeat(10_000_000)] }, /too long/],
  ])('%s', async (_, definition, message) => {
    const failure = await runtime.start({ name: 's', definition }, never).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(UpstreamError)
    expect(failure).toMatchObject({ code: 'ERR_UPSTREAM_UNAVAILABLE', server: 's', retrySafe: true })
    expect(String(failure)).toMatch(message)
    expect(String(failure)).not.toContain('\0')
  })

  test('an aborted start leaves nothing', async () => {
    await expect(runtime.start({ name: 's', definition: script('') }, AbortSignal.abort())).rejects.toThrow(
      /abort/i,
    )
    const during = new AbortController()
    const starting = runtime.start(
      { name: 's', definition: script('setInterval(() => {}, 1000)') },
      during.signal,
    )
    during.abort(new Error('changed my mind'))
    await expect(starting).rejects.toThrow('changed my mind')
  })

  test('a command line is not given to a shell', async () => {
    const args = ['-e', 'process.stdout.write(process.argv[1])', '$HOME; `id` && x']
    const started = await start({ command: process.execPath, args })
    expect(await text(started.stdout)).toBe('$HOME; `id` && x')
  })
})

describe('the end of a server', () => {
  test('is told with exit code and signal', async () => {
    expect(await (await start(script('process.exit(3)'))).exited).toEqual({ code: 3, signal: null })
    const started = await start(script('setInterval(() => {}, 1000)'))
    started.kill()
    expect(await started.exited).toEqual({ code: null, signal: 'SIGKILL' })
    started.kill()
  })

  test('comes when its input is closed', async () => {
    const started = await start({ command: 'cat' })
    started.stdin.end('hello\n')
    expect(await text(started.stdout)).toBe('hello\n')
    expect(await started.exited).toEqual({ code: 0, signal: null })
  })

  test('what it wrote before is not lost, on either stream', async () => {
    const source = 'process.stdout.write("o".repeat(200000)); process.stderr.write("e".repeat(200000))'
    const started = await start(script(source))
    const [out, err] = await Promise.all([text(started.stdout), text(started.stderr)])
    expect([out.length, err.length]).toEqual([200_000, 200_000])
  })

  test('writing to it afterwards does no harm', async () => {
    const started = await start(script('process.stdin.destroy(); process.exit(0)'))
    await started.exited
    for (let round = 0; round < 3; round++) started.stdin.write('x'.repeat(100_000))
    started.stdin.end()
    await finished(started.stdin, { error: false }).catch(() => {})
    expect(started.stdin.destroyed).toBe(true)
  })

  const parentOf = (source: string, stay: string) => `
    const { spawn } = require('node:child_process')
    const child = spawn(process.execPath, ['-e', ${JSON.stringify(source)}], { stdio: ['ignore', 'inherit', 'inherit'] })
    child.on('spawn', () => { console.log(child.pid); ${stay} })`
  const stubborn = `process.on('SIGTERM', () => {}); process.on('SIGHUP', () => {}); setInterval(() => {}, 1000)`

  test('kill ends grandchildren that mind nothing', async () => {
    const started = await start(script(parentOf(stubborn, '')))
    const grandchild = Number(await firstLine(started))
    expect(isAlive(grandchild)).toBe(true)
    started.kill()
    await started.exited
    await gone(grandchild)
  })

  test('a grandchild that the server leaves behind goes with it', async () => {
    const started = await start(script(parentOf(stubborn, 'process.exit(5)')))
    const grandchild = Number(await firstLine(started))
    expect(await started.exited).toEqual({ code: 5, signal: null })
    await gone(grandchild)
  })

  test('a grandchild that left the group and holds the streams does not delay the news for ever', async () => {
    const source = `
      const { spawn } = require('node:child_process')
      const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: ['ignore', 'inherit', 'inherit'], detached: true })
      child.on('spawn', () => { console.log(child.pid); process.exit(0) })`
    const started = await start(script(source))
    const escaped = Number(await firstLine(started))
    onTestFinished(() => void process.kill(escaped, 'SIGKILL'))
    expect(await started.exited).toEqual({ code: 0, signal: null })
  })
})

describe('a gateway that is killed', () => {
  test.each(['SIGKILL', 'SIGTERM'] as const)('by %s leaves no server and no guard', async (signal) => {
    const harness = spawn(
      process.execPath,
      ['--conditions=@sallyport/source', new URL('./harness.ts', import.meta.url).pathname],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [line] = await once(harness.stdout, 'data')
    const { servers, guards }: { servers: number[]; guards: number[] } = JSON.parse(String(line))
    expect(servers.map(isAlive)).toEqual([true, true, true, true])
    expect(guards.length).toBe(process.platform === 'linux' ? 1 : 0)
    harness.kill(signal)
    await once(harness, 'exit')
    await Promise.all([...servers, ...guards].map(gone))
  })
})

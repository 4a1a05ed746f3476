import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import {
  SallyportError,
  type ServerProcess,
  type ServerRuntime,
  type StdioServerDefinition,
} from '@sallyport/core'
import { type ContractCase, casesFor } from './contract-case.ts'
import { inTime } from './within.ts'

/** Small programs that the runtime under test can start. */
export interface TestServers {
  /** Writes what it reads until its input ends, then exits with 0. */
  readonly echo: StdioServerDefinition
  /** Exits with 3. */
  readonly fails: StdioServerDefinition
  /** Ends neither with its input nor on a polite signal. Writes a line first. */
  readonly stubborn: StdioServerDefinition
  /** Writes `out` to its standard output and `err` to its standard error. */
  readonly speaks: StdioServerDefinition
  /** Writes its environment as a JSON object. */
  readonly environment: StdioServerDefinition
  /** Cannot be started. */
  readonly missing: StdioServerDefinition
}

export interface ServerRuntimeSubject {
  readonly runtime: ServerRuntime
  readonly servers: TestServers
  close?(): void | Promise<void>
}

/** The test servers as scripts for Node.js, for runtimes that share this machine's files. */
export function nodeTestServers(command: string = process.execPath): TestServers {
  const script = (source: string): StdioServerDefinition => ({ command, args: ['-e', source] })
  return {
    echo: script('process.stdin.pipe(process.stdout)'),
    fails: script('process.exit(3)'),
    stubborn: script(
      `for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => {})
      console.log('ready'); setInterval(() => {}, 1000)`,
    ),
    speaks: script(`process.stdout.write('out'); process.stderr.write('err')`),
    environment: script('process.stdout.write(JSON.stringify(process.env))'),
    missing: { command: 'sallyport-there-is-no-such-program' },
  }
}

/** The contract of `ServerRuntime`. Every process that a case starts is ended by it. */
export function serverRuntimeContract(options: {
  open(): ServerRuntimeSubject | Promise<ServerRuntimeSubject>
}): ContractCase[] {
  return casesFor(() => options.open(), checks)
}

async function using<T>(
  { runtime }: ServerRuntimeSubject,
  definition: StdioServerDefinition,
  check: (started: ServerProcess) => Promise<T>,
): Promise<T> {
  const started = await inTime(
    'the start',
    runtime.start({ name: 'probe', definition }, new AbortController().signal),
  )
  try {
    return await check(started)
  } finally {
    started.kill()
    await inTime('the end after kill', started.exited)
  }
}

const checks: Record<string, (subject: ServerRuntimeSubject) => Promise<void>> = {
  async 'the streams carry bytes both ways, unchanged'(subject) {
    await using(subject, subject.servers.echo, async ({ stdin, stdout }) => {
      const sent = `${'\u{1f511}é\r\n\0'.repeat(200_000)}end`
      stdin.end(sent)
      assert.equal(await inTime('the echo', text(stdout)), sent)
    })
  },

  async 'closing its input ends a server that minds it'(subject) {
    await using(subject, subject.servers.echo, async ({ stdin, stdout, exited }) => {
      stdin.end()
      stdout.resume()
      assert.deepEqual(await inTime('the end', exited), { code: 0, signal: null })
    })
  },

  async 'the exit code is told, as often as one asks'(subject) {
    await using(subject, subject.servers.fails, async ({ exited }) => {
      assert.deepEqual(await inTime('the end', exited), { code: 3, signal: null })
      assert.deepEqual(await exited, { code: 3, signal: null })
    })
  },

  async 'standard error is a stream of its own'(subject) {
    await using(subject, subject.servers.speaks, async ({ stdout, stderr }) => {
      assert.deepEqual(await inTime('the output', Promise.all([text(stdout), text(stderr)])), ['out', 'err'])
    })
  },

  async 'kill ends a server that minds nothing'(subject) {
    await using(subject, subject.servers.stubborn, async (started) => {
      await inTime('the first line', started.stdout.take(1).toArray())
      started.stdin.end()
      started.kill()
      const { code, signal } = await inTime('the end', started.exited)
      assert.ok(code !== 0 || signal !== null, 'it did not end by itself')
    })
  },

  async 'kill may be called twice, and too late'(subject) {
    await using(subject, subject.servers.fails, async (started) => {
      await inTime('the end', started.exited)
      started.kill()
      started.kill()
      assert.equal((await started.exited).code, 3)
    })
  },

  async 'one server ends without the other'(subject) {
    await using(subject, subject.servers.echo, async (survivor) => {
      await using(subject, subject.servers.echo, async (victim) => {
        victim.kill()
        await inTime('the end', victim.exited)
      })
      survivor.stdin.end('still here')
      assert.equal(await inTime('the echo', text(survivor.stdout)), 'still here')
    })
  },

  async 'writing to a server that has ended raises nothing that nobody handles'(subject) {
    await using(subject, subject.servers.fails, async ({ stdin, exited }) => {
      await inTime('the end', exited)
      for (let round = 0; round < 3; round++) stdin.write('x'.repeat(100_000))
      stdin.end()
      // An unhandled error of the stream would come in one of these turns and end the test run.
      for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
    })
  },

  async 'the variables of the definition arrive, whatever is in them'(subject) {
    const env = { PLAIN: 'x', EMPTY: '', ODD: `"'\`$HOME %PATH% \\ \n\t é\u{1f511}; && |` }
    await using(subject, { ...subject.servers.environment, env }, async ({ stdout }) => {
      const found: unknown = JSON.parse(await inTime('the output', text(stdout)))
      assert.ok(typeof found === 'object' && found !== null)
      const all = new Map(Object.entries(found))
      for (const [name, value] of Object.entries(env)) assert.equal(all.get(name), value)
    })
  },

  async 'what cannot be started is an error that names the server'({ runtime, servers }) {
    const starting = runtime.start(
      { name: 'probe', definition: servers.missing },
      new AbortController().signal,
    )
    await assert.rejects(inTime('the refusal', starting), (error) => {
      assert.ok(SallyportError.isInstance(error))
      assert.equal(error.code, 'ERR_UPSTREAM_UNAVAILABLE')
      assert.match(error.message, /probe/)
      return true
    })
  },

  async 'an aborted signal ends a start'({ runtime, servers }) {
    const server = { name: 'probe', definition: servers.stubborn }
    await assert.rejects(inTime('the refusal', runtime.start(server, AbortSignal.abort())))
    const controller = new AbortController()
    const starting = runtime.start(server, controller.signal)
    controller.abort()
    await assert.rejects(inTime('the end of the start', starting))
  },

  async 'a signal that is aborted later ends nothing'(subject) {
    const controller = new AbortController()
    const server = { name: 'probe', definition: subject.servers.echo }
    const started = await inTime('the start', subject.runtime.start(server, controller.signal))
    controller.abort()
    started.stdin.end('still here')
    assert.equal(await inTime('the echo', text(started.stdout)), 'still here')
    await inTime('the end', started.exited)
  },
}

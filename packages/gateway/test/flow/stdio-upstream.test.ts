import type { Logger, ServerRuntime } from '@sallyport/core'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { createChildProcessRuntime, createGateway } from '../../src/index.ts'
import { bearer, believing, connectV1, startGateway, stdioFixture, textOf, until } from './harness.ts'
import { at, type Json, modern, RawSession } from './raw-client.ts'
import { scriptedRuntime } from './scripted-runtime.ts'
import { RpcFailure, text, type Turn } from './scripted-server.ts'

describe('a stdio server', () => {
  it('whose process dies fails the calls in flight, and has a new one for the next', async () => {
    const { gateway, url } = await startGateway({ servers: { pipe: stdioFixture('legacy') } })
    await gateway.ready()
    const client = await connectV1(url)
    const pid = async () =>
      String(at(JSON.parse(textOf(await client.callTool({ name: 'pipe__process', arguments: {} }))), 'pid'))
    const before = await pid()
    const ends = await Promise.allSettled([
      client.callTool({ name: 'pipe__hang', arguments: {} }),
      client.callTool({ name: 'pipe__exit', arguments: { code: 7 } }),
    ])
    for (const end of ends) {
      expect(end.status === 'rejected' && String(end.reason)).toContain('server "pipe": ended (exit code 7)')
    }
    expect(await pid()).not.toBe(before)
    process.kill(Number(await pid()), 'SIGKILL')
    // the signal may be on its way still when the next call goes out
    const survived = await pid().catch((error: unknown) => String(error))
    expect(survived).toMatch(/^\d+$|ended \(signal SIGKILL\)/)
    expect(await pid()).toMatch(/^\d+$/)
  })

  it('is shared by sessions that cannot be asked anything, by nobody else', async () => {
    const runtime = scriptedRuntime({ s: { name: 's', tools: ['t'], call: ({ link }) => text(link.id) } })
    const { gateway, at: path } = await startGateway({
      servers: {
        s: { command: 's' },
        mine: { command: 's', sharing: 'principal' },
        solo: { command: 's', sharing: 'session' },
      },
      runtime,
      authenticate: believing,
    })
    await gateway.ready()
    const processOf = async (server: string, who: string, capabilities: Json = {}) => {
      const session = await RawSession.open(path(server), { headers: bearer(who), capabilities })
      return String(at(await session.call('t'), 'result', 'content', 0, 'text'))
    }
    const ann = await processOf('s', 'acme/ann')
    expect(await processOf('s', 'acme/bob')).toBe(ann)
    expect(await processOf('s', 'evil/eve')).not.toBe(ann)
    expect(await processOf('s', 'acme/ann', { roots: {} })).not.toBe(ann)
    const mine = await processOf('mine', 'acme/ann')
    expect(await processOf('mine', 'acme/ann')).toBe(mine)
    expect(await processOf('mine', 'acme/bob')).not.toBe(mine)
    const solo = await processOf('solo', 'acme/ann')
    expect(await processOf('solo', 'acme/ann')).not.toBe(solo)
  })

  it('of the modern era is shared as its definition allows', async () => {
    const runtime = scriptedRuntime({
      s: {
        on: {
          'server/discover': () => ({
            resultType: 'complete',
            supportedVersions: ['2026-07-28'],
            capabilities: { tools: {} },
          }),
        },
        call: ({ link }) => ({ ...text(link.id), resultType: 'complete' }),
      },
    })
    const { gateway, at: path } = await startGateway({
      servers: { s: { command: 's' }, mine: { command: 's', sharing: 'principal' } },
      runtime,
      authenticate: believing,
    })
    await gateway.ready()
    const processOf = async (server: string, who: string) =>
      String(
        at(
          await modern(path(server), 'tools/call', { name: 't', arguments: {} }, { headers: bearer(who) }),
          'result',
          'content',
          0,
          'text',
        ),
      )
    const ann = await processOf('s', 'acme/ann')
    expect(await processOf('s', 'acme/bob')).toBe(ann)
    expect(await processOf('s', 'evil/eve')).not.toBe(ann)
    const mine = await processOf('mine', 'acme/ann')
    expect(await processOf('mine', 'acme/ann')).toBe(mine)
    expect(await processOf('mine', 'acme/bob')).not.toBe(mine)
  })

  it('gives each of two sharing sessions its own answers, whatever ids they use', async () => {
    const runtime = scriptedRuntime({
      s: { name: 's', tools: ['t'], call: ({ params }) => text(JSON.stringify(at(params, 'arguments'))) },
    })
    const { url } = await startGateway({ servers: { s: { command: 's' } }, runtime })
    const [one, two] = await Promise.all([RawSession.open(url), RawSession.open(url)])
    const ids = [1, '1', 1.5, 'ünï', '', -7, 9007199254740991]
    const answers = await Promise.all(
      [one, two].flatMap((session, index) =>
        ids.map((id) => session.request('tools/call', { name: 's__t', arguments: { id, index } }, id)),
      ),
    )
    expect(answers.map((answer) => [answer['id'], at(answer, 'result', 'content', 0, 'text')])).toEqual(
      [0, 1].flatMap((index) => ids.map((id) => [id, JSON.stringify({ id, index })])),
    )
  })

  it('that floods, talks nonsense or answers what nobody asked does no harm', async () => {
    const runtime = scriptedRuntime({
      s: {
        name: 's',
        tools: ['t'],
        call: (turn) => {
          turn.send({ jsonrpc: '2.0', id: 4711, result: {} })
          turn.send({ jsonrpc: '2.0', id: 'sallyport-1', result: {} })
          turn.send({ jsonrpc: '2.0', id: null, error: { code: -32700, message: 'what?' } })
          turn.send({ just: 'something' })
          turn.send({ jsonrpc: '2.0', method: 'notifications/unheard-of', params: { a: 1 } })
          return text('fine')
        },
      },
    })
    const { url } = await startGateway({ servers: { s: { command: 's' } }, runtime })
    const session = await RawSession.open(url)
    await session.listen()
    expect(at(await session.call('s__t'), 'result')).toEqual(text('fine'))
    await until(() =>
      expect(session.received.map(({ method }) => method)).toEqual(['notifications/unheard-of']),
    )
  })

  it('that needs more processes than it may have gives a clear error, and room again when a session ends', async () => {
    const runtime = scriptedRuntime({
      s: {
        name: 's',
        tools: ['t', 'wait'],
        call: ({ silence }, tool) => (tool === 'wait' ? silence() : text('t')),
      },
    })
    const { gateway, url } = await startGateway({
      servers: { s: { command: 's' } },
      runtime,
      limits: { processesPerServer: 2 },
    })
    await gateway.ready()
    const open = () => RawSession.open(url, { capabilities: { sampling: {} } })
    const [one, two, three] = [await open(), await open(), await open()]
    for (const session of [one, two]) {
      expect(at(await session.call('s__t'), 'result')).toBeDefined()
      session.start('tools/call', { name: 's__wait' }).catch(() => {})
    }
    await until(() => {
      const calls = runtime.of('s').flatMap((process) => process.messages('tools/call'))
      expect(calls.filter((call) => at(call, 'params', 'name') === 'wait').length).toBe(2)
    })
    expect(at(await three.call('s__t'), 'error', 'message')).toBe('server "s": already runs 2 processes')
    await one.end()
    expect(at(await three.call('s__t'), 'result')).toBeDefined()
  })

  it('is stopped when its session ends, and when nobody has used it for a while', async () => {
    const runtime = scriptedRuntime({ s: { name: 's', tools: ['t'], call: ({ link }) => text(link.id) } })
    const { gateway, at: path } = await startGateway({
      servers: { s: { command: 's' } },
      runtime,
      limits: { idleProcessMs: 50 },
    })
    await gateway.ready()
    const own = await RawSession.open(path('s'), { capabilities: { roots: {} } })
    const shared = await RawSession.open(path('s'))
    const processes = await Promise.all(
      [own, shared].map(async (session) => {
        const id = at(await session.call('t'), 'result', 'content', 0, 'text')
        const process = runtime.processes.find((each) => each.id === id)
        if (process === undefined) throw new Error('no process')
        return process
      }),
    )
    expect(processes.map((process) => process.running())).toEqual([true, true])
    await own.end()
    await shared.end()
    await until(() => expect(processes.map((process) => process.running())).toEqual([false, false]))
  })

  it('of the modern era that was asked what it speaks goes on as the one that serves', async () => {
    const runtime = countingRuntime()
    const { gateway, at: path } = await startGateway({ servers: { pipe: stdioFixture('modern') }, runtime })
    await gateway.ready()
    const answer = await modern(path('pipe'), 'tools/call', { name: 'echo', arguments: {} })
    expect(at(answer, 'result')).toBeDefined()
    expect(runtime.counts()).toEqual({ started: 1, running: 1 })
  })

  it('of both eras does not keep the process of the probe for clients that never come', async () => {
    const runtime = countingRuntime()
    const { gateway, at: path } = await startGateway({
      servers: { pipe: stdioFixture('dual') },
      runtime,
      limits: { idleProcessMs: 50 },
    })
    await gateway.ready()
    const session = await RawSession.open(path('pipe'))
    expect(at(await session.call('echo'), 'result')).toBeDefined()
    await until(() => expect(runtime.counts()).toEqual({ started: 2, running: 1 }))
    expect(at(await session.call('echo'), 'result')).toBeDefined()
  })

  it('whose process of the probe was let go is as reachable as before', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const runtime = scriptedRuntime({ s: { name: 's', tools: ['t'] } })
    const gateway = createGateway({ servers: { s: { command: 's' } }, runtime })
    onTestFinished(() => gateway.close({ deadlineMs: 0 }))
    await gateway.ready()
    const [probed] = runtime.processes
    await until(() => expect(probed?.running()).toBe(false))
    vi.advanceTimersByTime(2_000)
    expect(gateway.status().upstreams[0]).toMatchObject({ reachable: true, lastError: undefined })
  })

  it('that ends at its start is told of with what it wrote to standard error, but not to callers', async () => {
    const warnings: [string, unknown][] = []
    const logger: Logger = {
      debug() {},
      info() {},
      warn: (message, fields) => void warnings.push([message, fields]),
      error() {},
    }
    const program =
      "console.error('starting'); console.error('boom: DB_URL is not set'); process.exitCode = 3"
    const servers = { dead: { command: process.execPath, args: ['--eval', program] } }
    const { gateway, at: path } = await startGateway({ servers, logger })
    await gateway.ready()
    const told = warnings.filter(([message]) => message === 'server has failed')
    const reason = 'ended (exit code 3)'
    expect(told).toEqual([
      ['server has failed', { server: 'dead', reason, stderr: 'starting\nboom: DB_URL is not set' }],
    ])
    const error: unknown = await connectV1(path('dead')).catch((refused: unknown) => refused)
    expect(String(error)).toContain(reason)
    expect(JSON.stringify([String(error), gateway.status().upstreams])).not.toContain('boom')
  })

  it.each(['legacy', 'modern'] as const)(
    'of the %s era that is slow to start fails calls in time, and its late answer is taken',
    async (era) => {
      let start = () => {}
      const started = new Promise<void>((resolve) => {
        start = resolve
      })
      const waits = (answer: (turn: Turn) => unknown) => async (turn: Turn) => {
        await started
        return answer(turn)
      }
      const discover = (): unknown => {
        if (era === 'legacy') throw new RpcFailure(-32601, 'Method not found')
        return { supportedVersions: ['2026-07-28'], capabilities: { tools: {} }, resultType: 'complete' }
      }
      const introduce = ({ params }: Turn): unknown => {
        if (era === 'modern') throw new RpcFailure(-32601, 'Method not found')
        const serverInfo = { name: 's', version: '1' }
        return { protocolVersion: params['protocolVersion'], capabilities: { tools: {} }, serverInfo }
      }
      const on = { 'server/discover': waits(discover), initialize: waits(introduce) }
      const runtime = scriptedRuntime({ s: { name: 's', tools: ['t'], on } })
      const limits = { probeMs: 150, listMs: 100, callMs: 60_000 }
      const {
        gateway,
        url,
        at: path,
      } = await startGateway({ servers: { s: { command: 's' } }, runtime, limits })
      const session = await RawSession.open(url)
      // they do not wait for callMs
      await gateway.ready()
      const late = await Promise.all([
        session.request('tools/call', { name: 's__t' }),
        modern(path('s'), 'tools/call', { name: 't' }),
      ])
      for (const answer of late)
        expect(at(answer, 'error', 'data')).toMatchObject({ code: 'ERR_UPSTREAM_TIMEOUT', retrySafe: true })
      const processes = runtime.processes.length
      start()
      await until(async () => {
        expect(at(await session.request('tools/call', { name: 's__t' }), 'result', 'content')).toBeDefined()
        const answer = await modern(path('s'), 'tools/call', { name: 't' })
        expect(at(answer, 'result', 'content')).toBeDefined()
      })
      expect(processes).toBeGreaterThan(0)
      expect(runtime.processes.filter((it) => it.messages('tools/call').length > 0)).not.toEqual([])
    },
  )
})

function countingRuntime(): ServerRuntime & { counts(): { started: number; running: number } } {
  const runtime = createChildProcessRuntime()
  let started = 0
  let running = 0
  return {
    async start(server, signal) {
      const process = await runtime.start(server, signal)
      started++
      running++
      void process.exited.then(() => running--)
      return process
    },
    counts: () => ({ started, running }),
  }
}

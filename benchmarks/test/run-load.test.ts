import { describe, expect, it } from 'vitest'
import { type LoadJob, runLoad } from '../load/run-load.ts'
import { sendJson, startEchoServer } from './echo-server.ts'

const job = {
  dialect: 'session',
  workload: { kind: 'echo', paddingBytes: 0 },
  connections: 4,
  warmupMs: 50,
  durationMs: 200,
  drainMs: 2_000,
} satisfies Omit<LoadJob, 'url'>

describe('a closed loop', () => {
  it.each(['session', 'stateless'] as const)('checks every answer (%s)', async (dialect) => {
    await using server = await startEchoServer()
    const report = await runLoad({ ...job, url: server.url, dialect })
    expect(report).toMatchObject({ errors: 0, problems: [] })
    expect(report.calls).toBeGreaterThan(20)
    // The window may close late on a busy machine, never early.
    expect(report.callsPerSecond).toBeLessThan(report.calls / 0.19)
    expect(report.p50Ms).toBeLessThanOrEqual(report.p99Ms)
    // The rest came before the window, or after its end and before the last answer.
    expect(server.calls).toBeGreaterThanOrEqual(report.calls)
  })

  it('reports a wrong answer among right ones', async () => {
    await using server = await startEchoServer({
      send: (response, text, call) =>
        sendJson(response, call === 10 ? text.replace('message 1', 'massage 1') : text),
    })
    const report = await runLoad({ ...job, url: server.url })
    expect(report.errors).toBe(1)
    expect(report.problems[0]).toContain('not the echo of message')
    expect(report.calls).toBeGreaterThan(0)
  })

  it('reports an answer that another call was waiting for', async () => {
    let held: { response: Parameters<typeof sendJson>[0]; text: string } | undefined
    await using server = await startEchoServer({
      send(response, text, call) {
        if (call === 20) held = { response, text }
        else if (held) {
          sendJson(response, held.text)
          sendJson(held.response, text)
          held = undefined
        } else sendJson(response, text)
      },
    })
    const report = await runLoad({ ...job, url: server.url })
    expect(report.errors).toBe(2)
    expect(report.problems[0]).toContain('another id')
  })

  it('reports a call that is never answered and a connection that is lost', async () => {
    await using server = await startEchoServer({
      send(response, text, call) {
        if (call === 5) response.destroy()
        else if (call !== 6) sendJson(response, text)
      },
    })
    const report = await runLoad({ ...job, url: server.url, drainMs: 100 })
    expect(report.errors).toBe(2)
    expect(report.problems.join()).toContain('closed')
    expect(report.problems.join()).toContain('1 calls without an answer')
  })

  it('refuses to measure a path whose handshake fails', async () => {
    await using server = await startEchoServer({ era: 'modern' })
    await expect(runLoad({ ...job, url: server.url })).rejects.toThrow('handshake')
  })
})

describe('a server that stalls once', () => {
  const stallMs = 400

  /** Every answer that falls into the stall waits for its end, as behind one blocked thread. */
  function stallingServer() {
    let stalledUntil = 0
    return startEchoServer({
      send(response, text, call) {
        if (call === 100) stalledUntil = performance.now() + stallMs
        const waitMs = stalledUntil - performance.now()
        if (waitMs > 0) setTimeout(sendJson, waitMs, response, text)
        else sendJson(response, text)
      },
    })
  }

  it('is charged by an open loop for every call that fell due meanwhile', async () => {
    await using server = await stallingServer()
    const callsPerSecond = 500
    const report = await runLoad({ ...job, url: server.url, warmupMs: 0, durationMs: 1_000, callsPerSecond })
    expect(report.errors).toBe(0)
    // 200 of the 500 calls fell due in the stall and waited 200 ms of it on average: p95 is deep inside.
    expect(report.maxMs).toBeGreaterThan(stallMs * 0.9)
    expect(report.p95Ms).toBeGreaterThan(stallMs * 0.6)
    expect(report.p50Ms).toBeLessThan(stallMs * 0.6)
    expect(server.calls).toBe(500)
  })

  it('hides behind a closed loop, which only has as many calls waiting as connections', async () => {
    await using server = await stallingServer()
    const report = await runLoad({ ...job, url: server.url, durationMs: 1_000, warmupMs: 0 })
    expect(report.maxMs).toBeGreaterThan(stallMs * 0.9)
    expect(report.p95Ms).toBeLessThan(stallMs * 0.5)
  })
})

describe('an open loop', () => {
  it('keeps the rate and counts what was due, not what was sent', async () => {
    await using server = await startEchoServer()
    const report = await runLoad({
      ...job,
      url: server.url,
      callsPerSecond: 200,
      durationMs: 500,
      warmupMs: 100,
    })
    expect(report.errors).toBe(0)
    expect(server.calls).toBe(120)
  })

  it('reports calls that were due and never answered', async () => {
    await using server = await startEchoServer({
      send: (response, text, call) => call <= 10 && sendJson(response, text),
    })
    const report = await runLoad({
      ...job,
      url: server.url,
      callsPerSecond: 200,
      durationMs: 300,
      warmupMs: 0,
      drainMs: 50,
    })
    expect(report.errors).toBe(50)
  })
})

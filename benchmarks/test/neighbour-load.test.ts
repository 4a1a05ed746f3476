import { describe, expect, it } from 'vitest'
import { type LoadJob, runLoad } from '../load/run-load.ts'
import { sendJson, startEchoServer } from './echo-server.ts'

const neighbour = { callsPerSecond: 100, connections: 20, patienceMs: 100 }
const job = {
  dialect: 'session',
  workload: { kind: 'echo', paddingBytes: 0 },
  connections: 4,
  callsPerSecond: 200,
  warmupMs: 50,
  durationMs: 400,
  drainMs: 2_000,
} satisfies Omit<LoadJob, 'url'>

describe('calls to a neighbour', () => {
  it('are sent beside those that are measured, and not counted among them', async () => {
    await using measured = await startEchoServer()
    await using other = await startEchoServer()
    const report = await runLoad({
      ...job,
      url: measured.url,
      neighbour: { ...neighbour, url: other.url, hangs: false },
    })
    expect(report).toMatchObject({ errors: 0, neighbour: { refused: 0, givenUp: 0, skipped: 0 } })
    expect(measured.calls).toBe(90)
    expect(report.neighbour?.sent).toBe(other.calls)
    expect(other.calls).toBeGreaterThan(0)
  })

  it('that hangs are given up, and sent again on new connections', async () => {
    await using measured = await startEchoServer()
    await using other = await startEchoServer({ send: () => undefined })
    const report = await runLoad({
      ...job,
      url: measured.url,
      neighbour: { ...neighbour, url: other.url, hangs: true },
    })
    expect(report).toMatchObject({ errors: 0, neighbour: { answered: 0, refused: 0 } })
    expect(report.neighbour?.givenUp).toBeGreaterThan(0)
    expect(report.neighbour?.sent).toBeGreaterThan(neighbour.connections)
  })

  it('are errors when they are answered wrongly, or at all by a server that should hang', async () => {
    await using measured = await startEchoServer()
    await using wrong = await startEchoServer({
      send: (response, text) => sendJson(response, text.replace('message 1', 'massage 1')),
    })
    const options = { ...job, url: measured.url }
    const wrongly = await runLoad({ ...options, neighbour: { ...neighbour, url: wrong.url, hangs: false } })
    expect(wrongly.errors).toBe(wrongly.neighbour?.refused)
    expect(wrongly.problems[0]).toContain('not the echo')
    const answering = await runLoad({
      ...options,
      neighbour: { ...neighbour, url: measured.url, hangs: true },
    })
    expect(answering.errors).toBeGreaterThan(0)
    expect(answering.problems[0]).toBe('the hanging server answered')
  })
})

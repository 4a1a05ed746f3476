import fc from 'fast-check'
import { expect, test } from 'vitest'
import { startGateway } from '../flow/harness.ts'
import { at, open, RawSession } from '../flow/raw-client.ts'
import { scriptedRuntime } from '../flow/scripted-runtime.ts'
import { text } from '../flow/scripted-server.ts'
import { differentIds } from './wire-texts.ts'

const json = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

test('progress reaches the call it is about, under its own token, among calls that share a process', async () => {
  let expected = 0
  let waiting: (() => void)[] = []
  const runtime = scriptedRuntime({
    pipe: {
      name: 'pipe',
      tools: ['work'],
      // all calls are open before the first one says anything, so that they can be mixed up
      async call({ params, send }) {
        await new Promise<void>((resolve) => {
          waiting.push(resolve)
          if (waiting.length === expected) for (const go of waiting.splice(0).toReversed()) go()
        })
        const progressToken = at(params, '_meta', 'progressToken')
        const message = at(params, 'arguments', 'key')
        send({
          jsonrpc: '2.0',
          method: 'notifications/progress',
          params: { progressToken, progress: 1, message },
        })
        return text(String(message))
      },
    },
  })
  const { url, at: path } = await startGateway({ servers: { pipe: { command: 'pipe' } }, runtime })
  const sessions = [
    { session: await RawSession.open(url), name: 'pipe__work' },
    { session: await RawSession.open(path('pipe')), name: 'work' },
    { session: await RawSession.open(path('pipe')), name: 'work' },
  ]
  let next = 1
  await fc.assert(
    // tokens differ within a session; two sessions may well use the same
    fc.asyncProperty(fc.array(differentIds(0, 4), { minLength: 3, maxLength: 3 }), async (tokens) => {
      const calls = tokens.flatMap((of, index) => of.map((token) => ({ token, client: sessions[index] })))
      expected = calls.length
      waiting = []
      const answers = await Promise.all(
        calls.map(async ({ token, client }) => {
          const key = `key-${next++}`
          const params = `{"name":"${client?.name}","arguments":{"key":"${key}"},"_meta":{"progressToken":${token}}}`
          const body = `{"jsonrpc":"2.0","id":"${key}","method":"tools/call","params":${params}}`
          const headers = { ...json, ...client?.session.headers }
          const answer = await open(client?.session.url ?? '', { headers, body })
          await answer.ended
          return { key, token, said: answer.text() }
        }),
      )
      for (const { key, token, said } of answers) {
        expect(said).toContain(`"params":{"progressToken":${token},"progress":1,"message":"${key}"}`)
        expect(said.match(/"progressToken"/g)?.length).toBe(1)
        expect(said).toContain(`"id":"${key}"`)
      }
    }),
    { numRuns: 100 },
  )
  expect(runtime.of('pipe').filter(({ running }) => running()).length).toBe(1)
})

import { expect, it } from 'vitest'
import { createIdleSessions } from '../load/idle-sessions.ts'
import { sendJson, startEchoServer } from './echo-server.ts'

it('opens as many sessions as asked for and can use them', async () => {
  await using server = await startEchoServer()
  const sessions = await createIdleSessions({ url: server.url, connections: 3 })
  await sessions.growTo(10)
  expect(sessions.count).toBe(10)
  await sessions.growTo(25)
  expect(sessions.count).toBe(25)
  expect(await sessions.use(1)).toBe(25)
  expect(server.calls).toBe(25)
  sessions.close()
})

it('throws when one of them answers wrongly', async () => {
  await using server = await startEchoServer({
    send: (response, text, call) => sendJson(response, call === 5 ? text.replace('idle', 'another') : text),
  })
  const sessions = await createIdleSessions({ url: server.url, connections: 2 })
  await sessions.growTo(10)
  await expect(sessions.use(1)).rejects.toThrow('not the echo')
  sessions.close()
})

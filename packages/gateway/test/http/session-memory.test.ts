import { queryObjects } from 'node:v8'
import { test } from 'vitest'
import { HttpReply } from '../../src/front/http-reply.ts'
import { until } from './client.ts'
import { startGateway } from './gateway.ts'
import { openSession } from './messages.ts'
import { startHandmade } from './upstream.ts'

test('a session keeps nothing of the request that opened it', async () => {
  const server = await startHandmade({ era: 'legacy' })
  const running = await startGateway({ servers: { l: { url: server.url } } })
  try {
    await running.gateway.ready()
    for (let opened = 0; opened < 20; opened++) await openSession(`${running.url}/l`)
    // collects garbage, then counts what is left; the responses of the newest connections may be
    await until(() => queryObjects(HttpReply, { format: 'count' }) < 10, 'the requests are gone')
  } finally {
    await running.close()
    await server.close()
  }
})

import { expect, test } from 'vitest'
import { until } from './client.ts'
import { startGateway } from './gateway.ts'
import { openSession, responseIn } from './messages.ts'
import { startHandmade } from './upstream.ts'

test('a server that keeps its stream open after the response gives the connection back', async () => {
  let open = 0
  let calls = 0
  const server = await startHandmade({
    era: 'legacy',
    handle: ({ message, response, stream }) => {
      open++
      calls++
      response.on('close', () => void open--)
      const id = typeof message === 'object' && message !== null && 'id' in message ? message.id : undefined
      stream()({ jsonrpc: '2.0', id, result: { calls } })
    },
  })
  const running = await startGateway({
    servers: { l: { url: server.url } },
    limits: { connectionsPerServer: 2 },
  })
  try {
    const session = await openSession(running.at('l'))
    for (let call = 1; call <= 6; call++) {
      const answer = responseIn(await session.request('tools/call', { name: 'x' }, call))
      expect(answer).toEqual({ jsonrpc: '2.0', id: call, result: { calls: call } })
    }
    await until(() => open === 0, 'all connections are given back')
  } finally {
    await running.close()
    await server.close()
  }
})

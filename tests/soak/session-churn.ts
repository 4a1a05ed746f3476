import { startMcpUpstream } from '@sallyport/fake-mcp-upstream'
import { startGateway } from './gateway-under-soak.ts'
import { openClient } from './legacy-client.ts'
import { MemoryWatch } from './memory-watch.ts'

const BATCH = 50

/** Sessions that are opened, used and ended or simply left: nothing of them may stay. */
export async function sessionChurn(until: number): Promise<string> {
  const upstream = await startMcpUpstream({ era: 'legacy', port: 0 })
  const gateway = await startGateway({ fixture: { url: upstream.url } }, { sessionIdleMs: 1_000 })
  const memory = new MemoryWatch()
  let sessions = 0
  let growth = 0
  try {
    for (let round = 0; performance.now() < until; round++) {
      await Promise.all(
        Array.from({ length: BATCH }, async (_, index) => {
          const endpoint = index % 2 === 0 ? gateway.url : `${gateway.url}/fixture`
          const client = await openClient(endpoint)
          const answer = await client.call(index % 2 === 0 ? 'fixture__echo' : 'echo', { index })
          if (!JSON.stringify(answer).includes(`${index}`))
            throw new Error(`a wrong answer: ${JSON.stringify(answer)}`)
          // every third client leaves without a word
          if (index % 3 !== 0) await client.end()
        }),
      )
      sessions += BATCH
      // abandoned sessions live for a second, and the sweep comes every five: what is alive then differs by a few thousand
      if (round >= 20 && round % 20 === 0) growth = memory.check(`after ${sessions} sessions`, 40)
    }
    return `${sessions} sessions, the live heap changed by ${growth.toFixed(1)} MB`
  } finally {
    await gateway.close()
    await upstream.close()
  }
}

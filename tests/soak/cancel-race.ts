import { createRequire } from 'node:module'
import { startMcpUpstream } from '@sallyport/fake-mcp-upstream'
import { startGateway } from './gateway-under-soak.ts'
import { type LegacyClient, openClient, textOf } from './legacy-client.ts'

const fixture = createRequire(import.meta.url).resolve('@sallyport/fake-mcp-upstream/main')
const CLIENTS = 16

/** Calls that are cancelled or abandoned at any moment, on one shared process and over HTTP: every answer is the caller's own. */
export async function cancelRace(until: number): Promise<string> {
  const upstream = await startMcpUpstream({ era: 'legacy', port: 0 })
  const gateway = await startGateway({
    http: { url: upstream.url },
    stdio: { command: process.execPath, args: [fixture, '--stdio', '--era', 'legacy'] },
  })
  const count = { answered: 0, cancelled: 0, abandoned: 0 }
  try {
    await Promise.all(
      Array.from({ length: CLIENTS }, async (_, number) => {
        const client = await openClient(gateway.url)
        for (let round = 0; performance.now() < until; round++) {
          await oneRound(client, `${number}-${round}`, (number + round) % 2 === 0 ? 'http' : 'stdio', count)
        }
        await client.end()
      }),
    )
    if (count.answered === 0 || count.cancelled === 0)
      throw new Error('nothing was answered or nothing cancelled')
    return `${count.answered} answered, ${count.cancelled} cancelled, ${count.abandoned} abandoned`
  } finally {
    await gateway.close()
    await upstream.close()
  }
}

async function oneRound(
  client: LegacyClient,
  marker: string,
  server: string,
  count: { answered: number; cancelled: number; abandoned: number },
): Promise<void> {
  const chance = Math.random()
  if (chance < 0.3) {
    const call = client.start(`${server}__slow`, { ms: 20 + Math.floor(Math.random() * 30) })
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 50))
    await call.cancel()
    await call.answer
    count.cancelled++
  } else if (chance < 0.4) {
    const signal = AbortSignal.timeout(1 + Math.floor(Math.random() * 20))
    await client.call(`${server}__slow`, { ms: 15 }, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
    count.abandoned++
  }
  const answer = textOf(await client.call(`${server}__echo`, { marker }))
  if (!answer.includes(marker)) throw new Error(`asked for ${marker}, got ${answer}`)
  count.answered++
}

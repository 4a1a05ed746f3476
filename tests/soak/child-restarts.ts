import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { startGateway } from './gateway-under-soak.ts'
import { openClient, textOf } from './legacy-client.ts'
import { MemoryWatch } from './memory-watch.ts'

const fixture = createRequire(import.meta.url).resolve('@sallyport/fake-mcp-upstream/main')

/** A server that ends again and again is started again, its calls fail or succeed but never hang, and no process is left. */
export async function childRestarts(until: number): Promise<string> {
  const gateway = await startGateway({
    fixture: { command: process.execPath, args: [fixture, '--stdio', '--era', 'legacy'] },
  })
  const memory = new MemoryWatch()
  const pids = new Set<number>()
  let restarts = 0
  let growth = 0
  try {
    const client = await openClient(`${gateway.url}/fixture`)
    for (let round = 0; performance.now() < until; round++) {
      const pid = Number(/\d+/.exec(textOf(await client.call('process', {})))?.[0])
      if (!Number.isInteger(pid)) throw new Error('the server did not tell its process id')
      pids.add(pid)
      const ended = JSON.stringify(await client.call('exit', {}))
      if (!ended.includes('ERR_UPSTREAM_UNAVAILABLE')) throw new Error(`a call outlived its server: ${ended}`)
      restarts++
      if (round >= 5 && round % 5 === 0) growth = memory.check(`after ${restarts} restarts`, 10)
    }
    if (pids.size < restarts) throw new Error(`${restarts} restarts, but only ${pids.size} processes`)
  } finally {
    await gateway.close()
  }
  const left = [...pids].filter((pid) => existsSync(`/proc/${pid}`))
  if (left.length > 0) throw new Error(`processes are left: ${left.join(', ')}`)
  return `${restarts} restarts, no process left, the live heap changed by ${growth.toFixed(1)} MB`
}

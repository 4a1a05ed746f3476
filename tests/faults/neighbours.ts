import { createRequire } from 'node:module'
import type { ServerDefinition } from '@sallyport/core'
import { startMcpUpstream } from '@sallyport/fake-mcp-upstream'
import { type Caller, type Era, openCaller } from './caller.ts'
import type { GatewayProcess } from './gateway-process.ts'

const program = createRequire(import.meta.url).resolve('@sallyport/fake-mcp-upstream/main')

export interface Neighbours {
  readonly servers: Readonly<Record<string, ServerDefinition>>
  stop(): Promise<void>
}

/** Two servers that behave: one over HTTP, one as a child process. */
export async function startNeighbours(): Promise<Neighbours> {
  const http = await startMcpUpstream({ name: 'web' })
  return {
    servers: {
      web: { url: http.url },
      local: { command: process.execPath, args: [program, '--stdio', '--name', 'local'] },
    },
    stop: () => http.close(),
  }
}

/** Callers of the good servers, who never stop calling. */
export interface Traffic {
  /** Right answers that the caller with the fewest has got so far. */
  readonly fewest: number
  /** Everything that was not the right answer. */
  readonly wrong: readonly string[]
  stop(): Promise<void>
}

const PAUSE_MS = 5

export async function startTraffic(gateway: GatewayProcess): Promise<Traffic> {
  const right: number[] = []
  const wrong: string[] = []
  let stopping = false
  const loop = async (caller: Caller, index: number) => {
    for (let round = 0; !stopping; round++) {
      const text = `round ${round} of ${index}`
      try {
        const outcome = await caller.call('echo', { text })
        if (outcome.text?.includes(JSON.stringify(text)) === true) right[index] = round + 1
        else wrong.push(JSON.stringify(outcome))
      } catch (error) {
        wrong.push(String(error))
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }
  const loops: Promise<void>[] = []
  for (const server of ['web', 'local'])
    for (const era of ['legacy', 'modern'] satisfies Era[]) {
      right.push(0)
      loops.push(loop(await openCaller(gateway.at(server), era), right.length - 1))
    }
  return {
    get fewest() {
      return Math.min(...right)
    },
    wrong,
    async stop() {
      stopping = true
      await Promise.all(loops)
    },
  }
}

import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import type { LoadReport } from './load-window.ts'
import type { LoadJob } from './run-load.ts'

type Reply = { report: LoadReport } | { failure: string }

export interface Generator {
  /** One job at a time. */
  run(job: LoadJob): Promise<LoadReport>
  stop(): void
}

/** The generator has a process of its own: neither the runner's timers nor its garbage may show in a latency. */
export function startGenerator(): Generator {
  const child = fork(join(import.meta.dirname, 'generator.ts'), {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  return {
    async run(job) {
      const reply = await ask(child, job)
      if ('failure' in reply) throw new Error(reply.failure)
      return reply.report
    },
    stop() {
      child.disconnect()
    },
  }
}

function ask(child: ChildProcess, job: LoadJob): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const lost = (code: number | null) => reject(new Error(`the load generator ended (${code})`))
    child.once('exit', lost)
    child.once('message', (reply: Reply) => {
      child.off('exit', lost)
      resolve(reply)
    })
    child.send(job)
  })
}

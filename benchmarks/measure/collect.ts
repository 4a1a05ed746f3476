import { existsSync, readFileSync, rmSync } from 'node:fs'
import { isRecord } from '../load/answer-check.ts'
import { delay } from '../load/closed-loop.ts'

/** Has a process with `collect-agent.ts` collect its garbage; returns its live heap. `file` is where the agent writes. */
export async function collectGarbage(processId: number, file: string): Promise<{ heapBytes: number }> {
  rmSync(file, { force: true })
  process.kill(processId, 'SIGUSR2')
  for (const deadline = performance.now() + 10_000; !existsSync(file); await delay(10)) {
    if (performance.now() > deadline) throw new Error('the process did not collect its garbage')
  }
  const answer: unknown = JSON.parse(readFileSync(file, 'utf8'))
  if (!isRecord(answer) || typeof answer.heapBytes !== 'number') throw new Error(`${file} tells no heap`)
  return { heapBytes: answer.heapBytes }
}

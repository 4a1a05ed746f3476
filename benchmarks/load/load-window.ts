import { type CpuSample, cpuSince, sampleCpu, type CpuUse } from '../measure/process-usage.ts'
import { Latencies, type LatencySummary } from './latencies.ts'
import type { NeighbourReport } from './neighbour-load.ts'

export interface LoadReport extends LatencySummary {
  /** Calls answered rightly inside the window. */
  calls: number
  callsPerSecond: number
  errors: number
  /** The first few problems, to be shown. */
  problems: string[]
  cpu: CpuUse | undefined
  /** What became of the calls beside those that were measured. */
  neighbour?: NeighbourReport
}

export interface LoadWindowOptions {
  /** `window`: the call counts when its answer comes inside; `always`: the loop itself decides what counts. */
  counts: 'window' | 'always'
  /** The process under test; its descendants count with it. */
  processId?: number
  /** Others that take part (the upstream), so that what remains is what strangers used. */
  participantIds?: readonly number[]
}

const keptProblems = 5

/** The measured stretch of a run: collects latencies and errors, and CPU use from its opening to its close. */
export class LoadWindow {
  readonly #options: LoadWindowOptions
  readonly #latencies = new Latencies()
  #state: 'before' | 'open' | 'closed' = 'before'
  #openedAt = 0
  #closedAt = 0
  #answeredInside = 0
  #errors = 0
  #problems: string[] = []
  #cpuAtOpening: CpuSample | undefined
  #cpu: CpuUse | undefined

  constructor(options: LoadWindowOptions) {
    this.#options = options
  }

  open(): void {
    this.#cpuAtOpening = sampleCpu(this.#options.processId, this.#options.participantIds)
    this.#state = 'open'
    this.#openedAt = performance.now()
  }

  close(): void {
    this.#closedAt = performance.now()
    this.#state = 'closed'
    const after = sampleCpu(this.#options.processId, this.#options.participantIds)
    if (this.#cpuAtOpening && after) this.#cpu = cpuSince(this.#cpuAtOpening, after)
  }

  /** An answer came, to a call that was sent or fell due at `startedAt`. A wrong answer counts whenever it comes. */
  record(startedAt: number, problem: string | undefined): void {
    if (problem !== undefined) return this.#addProblem(problem, 1)
    if (this.#state === 'open') this.#answeredInside += 1
    if (this.#state === 'open' || this.#options.counts === 'always')
      this.#latencies.record(performance.now() - startedAt)
  }

  unanswered(count: number): void {
    this.#addProblem(`${count} calls without an answer`, count)
  }

  report(): LoadReport {
    return {
      calls: this.#answeredInside,
      callsPerSecond: (this.#answeredInside * 1000) / (this.#closedAt - this.#openedAt),
      ...this.#latencies.summarise(),
      errors: this.#errors,
      problems: this.#problems,
      cpu: this.#cpu,
    }
  }

  #addProblem(problem: string, count: number): void {
    this.#errors += count
    if (this.#problems.length < keptProblems) this.#problems.push(problem)
  }
}

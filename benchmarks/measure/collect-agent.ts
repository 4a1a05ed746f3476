import { renameSync, writeFileSync } from 'node:fs'

/**
 * Loaded with `--import` into a process that runs with `--expose-gc`: on SIGUSR2 it collects its garbage and writes the live
 * heap to BENCH_COLLECTED, so that memory can be measured without what only waits for the collector.
 */
const file = process.env.BENCH_COLLECTED

process.on('SIGUSR2', () => {
  // A second collection takes what finalizers of the first have let go.
  globalThis.gc?.()
  globalThis.gc?.()
  if (file === undefined) return
  writeFileSync(`${file}.part`, JSON.stringify({ heapBytes: process.memoryUsage().heapUsed }))
  renameSync(`${file}.part`, file)
})

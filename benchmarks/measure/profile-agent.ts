import { renameSync, writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'

/**
 * Loaded into the process to be profiled with `--import`: the first SIGUSR2 starts the CPU profiler, the second writes
 * what it saw to BENCH_PROFILE. The start of the process and its warm-up stay out of the picture that way.
 */
const file = process.env.BENCH_PROFILE
let session: Session | undefined

process.on('SIGUSR2', () => {
  if (session) void stop(session)
  else void start()
})

async function start(): Promise<void> {
  session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: 500 })
  await session.post('Profiler.start')
}

async function stop(running: Session): Promise<void> {
  session = undefined
  const { profile } = await running.post('Profiler.stop')
  running.disconnect()
  if (file === undefined) return
  // Whoever waits for the file must not find half of it.
  writeFileSync(`${file}.part`, JSON.stringify(profile))
  renameSync(`${file}.part`, file)
}

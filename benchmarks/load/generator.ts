import { type LoadJob, runLoad } from './run-load.ts'

/**
 * The load generator's process. Jobs come over the IPC channel one after the other, so that its code is warm for all of
 * them alike; it ends when the channel does.
 */
process.on('message', (job: LoadJob) => {
  runLoad(job).then(
    (report) => process.send?.({ report }),
    (error: unknown) => process.send?.({ failure: error instanceof Error ? error.message : String(error) }),
  )
})
process.on('disconnect', () => process.exit())

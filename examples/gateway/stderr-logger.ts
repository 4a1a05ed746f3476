import type { Logger } from '@sallyport/core'

/** Lines on standard error: standard output belongs to the protocol. */
export function createStderrLogger(verbose: boolean): Logger {
  // whoever read this has gone; calls in flight do not depend on it
  process.stderr.on('error', () => {})
  const line = (level: string) => (message: string, fields?: Readonly<Record<string, unknown>>) => {
    process.stderr.write(`${level} ${message}${fields === undefined ? '' : ` ${JSON.stringify(fields)}`}\n`)
  }
  return {
    debug: verbose ? line('debug') : () => {},
    info: line('info '),
    warn: line('warn '),
    error: line('error'),
  }
}

import { type Logger, silentLogger } from '@sallyport/core'
import { say, seconds } from './terminal.ts'

export interface StartLog {
  readonly logger: Logger
  /** Throws unless every one of the servers has answered, and says why one has not. */
  mustBeComplete(servers: readonly string[]): void
}

/** Shows the gateway's servers as they come up. */
export function createStartLog(startedAt: number): StartLog {
  const answered = new Set<unknown>()
  const troubles: string[] = []
  const trouble = (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
    const details = Object.entries(fields).map(([name, value]) => `${name}: ${String(value)}`)
    troubles.push([message, ...details].join(', '))
  }
  return {
    logger: {
      ...silentLogger,
      debug(message, fields) {
        if (message !== 'server answered' || answered.has(fields?.['server'])) return
        answered.add(fields?.['server'])
        say(`  ${String(fields?.['server']).padEnd(18)}answers after ${seconds(startedAt)}`)
      },
      warn: trouble,
      error: trouble,
    },
    mustBeComplete(servers) {
      const silent = servers.filter((server) => !answered.has(server))
      if (silent.length === 0) return
      throw new Error([`no answer from ${silent.join(' and ')}`, ...troubles].join('\n  '))
    },
  }
}

import { readFileSync, watch } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { ConfigError, type Logger, type ServerDefinition } from '@sallyport/core'
import { createMemoryServerRegistry, type MemoryServerRegistry } from '@sallyport/core/memory'
import { parseMcpJson } from '@sallyport/gateway'

export interface ConfigFileOptions {
  readonly logger: Logger
  /** This server alone; the others are not even started. */
  readonly only: string | undefined
}

/** An editor writes a file in several steps. */
const settleMs = 100

/**
 * The servers of a configuration file, as a registry that follows the file. A file that has become wrong is reported, and
 * the servers stay as they were.
 */
export function openConfigFile(
  location: string,
  { logger, only }: ConfigFileOptions,
): { registry: MemoryServerRegistry; close: () => void } {
  // messages name a file that can be found from anywhere
  const file = resolve(location)
  let text = readFileSync(file, 'utf8')
  const registry = createMemoryServerRegistry(parse())
  let timer: NodeJS.Timeout | undefined
  // Editors put a new file in place of the old, and mounted configuration changes by a link beside it, so the folder is
  // watched. Other files in it change too; the text tells.
  const watcher = watch(dirname(file), () => {
    timer ??= setTimeout(readAgain, settleMs)
  })
  watcher.on('error', (error) =>
    logger.error('configuration is no longer watched', { reason: error.message }),
  )
  watcher.unref()
  return {
    registry,
    close: () => {
      clearTimeout(timer)
      watcher.close()
    },
  }

  function readAgain(): void {
    timer = undefined
    try {
      const now = readFileSync(file, 'utf8')
      if (now === text) return
      text = now
      registry.replace(parse())
      logger.info('configuration read again', { file })
    } catch (error) {
      logger.error('configuration not taken over', { reason: explain(error) })
    }
  }

  function parse(): Record<string, ServerDefinition> {
    const { servers, warnings } = parseMcpJson(text, { file, env: process.env })
    for (const { line, path, message } of warnings)
      logger.warn([`${file}:${line ?? 1}`, path, message].filter((part) => part !== '').join(': '))
    if (only === undefined) return servers
    const definition = Object.hasOwn(servers, only) ? servers[only] : undefined
    if (definition === undefined) {
      const known = Object.keys(servers).join(', ') || 'none'
      throw new Error(`${file}: there is no server "${only}"; there are: ${known}`)
    }
    return { [only]: definition }
  }
}

export function explain(error: unknown): string {
  if (ConfigError.isInstance(error)) return error.message
  if (error instanceof Error && 'code' in error && 'path' in error) {
    if (error.code === 'ENOENT') return `there is no file ${String(error.path)}`
    if (error.code === 'EACCES') return `${String(error.path)} may not be read`
  }
  if (error instanceof Error && 'code' in error && error.code === 'EISDIR')
    return 'the configuration is a folder, not a file'
  return error instanceof Error ? error.message : String(error)
}

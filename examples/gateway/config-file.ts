import { readFileSync, watch } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { ConfigError, type Logger } from '@sallyport/core'
import { createMemoryServerRegistry, type MemoryServerRegistry } from '@sallyport/core/memory'
import { parseMcpJson } from '@sallyport/gateway'

/**
 * The servers of a configuration file, as a registry that follows the file. A file that has become wrong is reported, and
 * the servers stay as they were.
 */
export function openConfigFile(
  file: string,
  logger: Logger,
): { registry: MemoryServerRegistry; close: () => void } {
  const registry = createMemoryServerRegistry(read(file, logger))
  let timer: NodeJS.Timeout | undefined
  // editors replace files, so the folder is what can be watched
  const watcher = watch(dirname(resolve(file)), (_event, name) => {
    if (name !== null && name !== basename(file)) return
    clearTimeout(timer)
    timer = setTimeout(() => {
      try {
        registry.replace(read(file, logger))
        logger.info('configuration read again', { file })
      } catch (error) {
        logger.error('configuration not taken over', { reason: explain(error) })
      }
    }, 100)
  })
  watcher.unref()
  return {
    registry,
    close: () => {
      clearTimeout(timer)
      watcher.close()
    },
  }
}

export function explain(error: unknown): string {
  if (ConfigError.isInstance(error)) return error.message
  return error instanceof Error ? error.message : String(error)
}

function read(file: string, logger: Logger) {
  const { servers, warnings } = parseMcpJson(readFileSync(file, 'utf8'), { file, env: process.env })
  for (const { line, path, message } of warnings) logger.warn(`${file}:${line ?? 1}: ${path}: ${message}`)
  return servers
}

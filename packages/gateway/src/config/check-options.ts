import { ConfigError } from '@sallyport/core'
import type { z } from 'zod'
import { plainIssues } from './plain-issues.ts'

/**
 * Checks the options of a `createX` function at once, so that a mistake shows before anything starts.
 * Messages name keys and types, never values: options hold secrets.
 * @param name what the options belong to; the first part of every path
 * @throws ConfigError with every mistake
 */
export function checkOptions(name: string, schema: z.ZodType, options: unknown): void {
  const issues = plainIssues(schema.safeParse(options), name)
  if (issues.length > 0) throw new ConfigError(issues)
}

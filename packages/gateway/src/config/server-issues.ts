import type {
  ConfigIssue,
  HttpServerDefinition,
  RetryDefinition,
  StdioServerDefinition,
} from '@sallyport/core'
import { z } from 'zod'
import { closestName } from './closest-name.ts'
import { plainIssues, strict } from './plain-issues.ts'
import { aliases } from './server-entry-keys.ts'

/** A path segment, percent-encoded, and the beginning of tool names. Names such as "My server" are usual in clients' files. */
const serverName = z
  .string()
  .min(1)
  .max(64)
  .regex(
    /^[^/\p{Cc}\u2028\u2029\p{Surrogate}]+$/u,
    'must not hold slashes, control characters or half characters',
  )
  .refine((name) => name !== '.' && name !== '..', 'must be a name that a URL can carry')

const positive = z.number().int().positive()
const retry = strict({
  onlyIf: z.literal('annotated'),
  attempts: positive.max(5).optional(),
} satisfies Record<keyof RetryDefinition, z.ZodType>)
const common = { timeoutMs: positive.optional(), retry: retry.optional() }
const strings = z.record(z.string(), z.string())
const stdio = strict(
  {
    ...common,
    command: z.string().min(1),
    args: z.array(z.string()).readonly().optional(),
    env: strings.optional(),
    cwd: z.string().optional(),
    sharing: z.enum(['tenant', 'principal', 'session']).optional(),
  } satisfies Record<keyof StdioServerDefinition, z.ZodType>,
  aliases,
)
const http = strict(
  {
    ...common,
    url: z.url({ protocol: /^https?$/, error: 'expected an absolute http or https URL' }),
    headers: strings.optional(),
    transport: z.enum(['auto', 'streamable-http', 'sse']).optional(),
  } satisfies Record<keyof HttpServerDefinition, z.ZodType>,
  aliases,
)

/** What is wrong with a set of servers; empty if nothing. */
export function serverIssues(servers: unknown): readonly ConfigIssue[] {
  if (servers === undefined) {
    const message =
      "is missing: name your servers, such as { files: { command: 'node', args: ['files.js'] } }"
    return [{ path: 'servers', message }]
  }
  if (typeof servers !== 'object' || servers === null || Array.isArray(servers))
    return [{ path: 'servers', message: 'expected an object of definitions by name, or a registry' }]
  if ('list' in servers && typeof servers.list === 'function')
    return [{ path: 'servers', message: 'a registry has the functions "list" and "watch"' }]
  return Object.entries(servers).flatMap(([name, definition]) => [
    ...plainIssues(serverName.safeParse(name), `servers.${name}`),
    ...definitionIssues(definition, `servers.${name}`),
  ])
}

/** The mistakes of the kind of server that is meant. */
function definitionIssues(definition: unknown, path: string): readonly ConfigIssue[] {
  const neither = 'expected { command } to start a process or { url } to reach a server over HTTP'
  if (typeof definition !== 'object' || definition === null) return [{ path, message: neither }]
  const [started, reached] = ['command' in definition, 'url' in definition]
  if (started && reached) return [{ path, message: 'has "command" and "url": expected one of them' }]
  if (started || reached) return plainIssues((started ? stdio : http).safeParse(definition), path)
  for (const key of Object.keys(definition)) {
    if (key in stdio.shape || key in http.shape) continue
    const meant = Object.hasOwn(aliases, key) ? aliases[key] : closestName(key, ['command', 'url'])
    if (meant !== 'command' && meant !== 'url') continue
    return [{ path, message: `there is no "${key}" (did you mean "${meant}"?); ${neither}` }]
  }
  return [{ path, message: neither }]
}

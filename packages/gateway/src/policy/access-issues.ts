import { ConfigError, type ConfigIssue } from '@sallyport/core'
import { z } from 'zod'
import { missing } from '../config/closest-name.ts'
import { plainIssues, strict } from '../config/plain-issues.ts'
import type { GatewayOptions } from '../gateway-options.ts'
import { Glob } from './glob.ts'
import { EveryPolicy, policyOf } from './policy.ts'
import { oneOrMorePatterns } from './rule.ts'
import { RulePolicy } from './rule-policy.ts'

/**
 * What is wrong with a policy: its rules were checked when they were made, but only now is it known which servers there are.
 * @param servers names of all servers, if they are known
 */
export function policyIssues(
  given: GatewayOptions['policy'],
  servers: readonly string[] | undefined,
): readonly ConfigIssue[] {
  if (given === undefined) return []
  try {
    const asked = policyOf(given)
    const parts = asked instanceof EveryPolicy ? asked.policies : [asked]
    return parts.flatMap((part) => (part instanceof RulePolicy ? unknownServers(part, servers) : []))
  } catch (error) {
    if (error instanceof ConfigError) return error.issues
    throw error
  }
}

export function rateLimitIssues(
  given: GatewayOptions['rateLimits'],
  servers: readonly string[] | undefined,
): readonly ConfigIssue[] {
  if (given === undefined) return []
  const issues = plainIssues(rateLimits.safeParse(given), 'rateLimits')
  if (issues.length > 0) return issues
  return given.flatMap(({ tools }, index) => {
    const patterns = typeof tools === 'string' ? [tools] : (tools ?? [])
    return patterns.flatMap((pattern, at) => {
      const message = unknownServer(pattern.slice(0, pattern.indexOf('/')), servers)
      return message === undefined ? [] : [{ path: `rateLimits.${index}.tools.${at}`, message }]
    })
  })
}

export function toolsetIssues(
  given: GatewayOptions['toolsets'],
  servers: readonly string[] | undefined,
): readonly ConfigIssue[] {
  if (given === undefined) return []
  const issues = plainIssues(toolsets.safeParse(given), 'toolsets')
  if (issues.length > 0) return issues
  return Object.entries(given).flatMap(([name, { tools = [], prompts = [], resources = [] }]) => [
    ...selections(`toolsets.${name}.tools`, tools, servers, ({ as, tool }) => as ?? tool),
    ...selections(`toolsets.${name}.prompts`, prompts, servers, ({ as, prompt }) => as ?? prompt),
    ...selections(`toolsets.${name}.resources`, resources, servers, () => undefined),
  ])
}

function selections<Selection extends { readonly server: string }>(
  path: string,
  chosen: readonly Selection[],
  servers: readonly string[] | undefined,
  nameOf: (selection: Selection) => string | undefined,
): readonly ConfigIssue[] {
  const names = new Set<string>()
  return chosen.flatMap((selection, index) => {
    const issues: ConfigIssue[] = []
    if (servers !== undefined && !servers.includes(selection.server))
      issues.push({ path: `${path}.${index}.server`, message: missing('server', selection.server, servers) })
    const name = nameOf(selection)
    if (name !== undefined && names.has(name))
      issues.push({ path: `${path}.${index}`, message: `is another "${name}": give it a name with "as"` })
    if (name !== undefined) names.add(name)
    return issues
  })
}

function unknownServers(
  { rules }: RulePolicy,
  servers: readonly string[] | undefined,
): readonly ConfigIssue[] {
  return rules.flatMap((rule, index) => {
    // as in explanations
    const label = rule.name === undefined ? String(index) : `${index} (${rule.name})`
    return rule.patterns.flatMap(({ serverText, path }) => {
      const message = unknownServer(serverText, servers)
      return message === undefined ? [] : [{ path: `policy.${label}.${path}`, message }]
    })
  })
}

function unknownServer(pattern: string, servers: readonly string[] | undefined): string | undefined {
  const glob = Glob.parse(pattern)
  if (servers === undefined || glob === undefined || servers.some((name) => glob.matches(name)))
    return undefined
  return glob.literal === undefined
    ? `no server has a name like ${pattern}`
    : missing('server', glob.literal, servers)
}

const rateLimits = z
  .array(
    strict({
      name: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'expected letters, digits, - and _'),
      per: z.enum(['principal', 'tenant', 'principal+tool']),
      tools: oneOrMorePatterns,
      points: z.number().int().positive(),
      durationSeconds: z.number().int().positive(),
    }),
  )
  .refine((limits) => new Set(limits.map(({ name }) => name)).size === limits.length, {
    error: 'two limits have the same name',
  })

const text = z.string().min(1)
const shownName = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'model APIs take 1 to 64 letters, digits, - and _')
const shown = { as: shownName.optional(), title: text.optional(), description: text.optional() }
const toolsets = z.record(
  z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'expected letters, digits, ., - and _'),
  strict({
    tools: z
      .array(
        strict({
          server: text,
          tool: text,
          ...shown,
          annotations: z.record(z.string(), z.json()).optional(),
        }),
      )
      .optional(),
    prompts: z.array(strict({ server: text, prompt: text, ...shown })).optional(),
    resources: z
      .array(
        strict({
          server: text,
          uri: text.refine(
            (uri) => Glob.parse(uri) !== undefined,
            'a backslash escapes an asterisk or a backslash',
          ),
        }),
      )
      .optional(),
    instructions: text.optional(),
  }).refine(
    ({ tools = [], prompts = [], resources = [] }) => tools.length + prompts.length + resources.length > 0,
    {
      error: 'is empty: name tools, prompts or resources',
    },
  ),
)

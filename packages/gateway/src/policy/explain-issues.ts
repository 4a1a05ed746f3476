import {
  ConfigError,
  type ConfigIssue,
  type PolicyTarget,
  type PolicyTargetKind,
  type Principal,
} from '@sallyport/core'
import { z } from 'zod'
import { closestName } from '../config/closest-name.ts'
import { plainIssues } from '../config/plain-issues.ts'

const kinds = Object.keys({
  server: true,
  tool: true,
  prompt: true,
  resource: true,
  resourceTemplate: true,
  method: true,
  ask: true,
} satisfies Record<PolicyTargetKind, true>)

const principalSchema = z.object({
  tenant: z.string().min(1),
  subject: z.string().min(1),
  issuer: z.string().optional(),
  clientId: z.string().optional(),
  roles: z.array(z.string()).readonly(),
  scopes: z.array(z.string()).readonly(),
} satisfies { [Key in keyof Principal]?: z.ZodType })

const targetSchema = z.object({
  kind: z.string().check(({ value, issues }) => {
    if (kinds.includes(value)) return
    const meant = closestName(value, kinds)
    const hint = meant === undefined ? `known: ${kinds.join(', ')}` : `did you mean "${meant}"?`
    issues.push({ code: 'custom', input: value, message: `there is no such kind (${hint})` })
  }),
  server: z.string(),
  name: z.string(),
  arguments: z.record(z.string(), z.unknown()).optional(),
} satisfies { [Key in keyof PolicyTarget]?: z.ZodType })

/**
 * A question about nobody, or about nothing, has no answer that means anything.
 * @throws ConfigError with every mistake
 */
export function checkQuestion(principal: unknown, target: unknown): void {
  const issues: readonly ConfigIssue[] = [
    ...plainIssues(principalSchema.safeParse(principal), 'explain.principal'),
    ...plainIssues(targetSchema.safeParse(target), 'explain.target'),
  ]
  if (issues.length > 0) throw new ConfigError(issues)
}

import { ConfigError, type PolicyTargetKind } from '@sallyport/core'
import { z } from 'zod'
import { plainIssues, strict } from '../config/plain-issues.ts'
import { isRecord } from '../wire/client-message.ts'
import { type ArgumentConditions, ArgumentRule, segmentsOf } from './argument-rule.ts'
import { Glob } from './glob.ts'

/** One or several; several mean that any of them will do. */
export type OneOrMore = string | readonly string[]

/**
 * Whom a rule is for, what it is about, and under which conditions. What is left out does not restrict the rule, but it has to
 * be about something.
 *
 * Patterns are `<server>/<name>`: `files/*` is everything of its kind on the server `files`, `*\/search` a name on any server.
 * The first slash ends the server; `*` stands for any run of characters, slashes included; `\*` is an asterisk. Names are the
 * server's own, and case counts.
 */
export interface RuleOptions {
  /** Shown in explanations. */
  readonly name?: string
  /** The caller has one of these roles. */
  readonly role?: OneOrMore
  /** The caller has all of these scopes. */
  readonly scope?: OneOrMore
  readonly tenant?: OneOrMore
  /** A subject means somebody only together with the `issuer` who knows it, if there are several issuers. */
  readonly subject?: OneOrMore
  readonly issuer?: OneOrMore
  /** `clientId` of the caller: an OAuth client, or the id of an API key. */
  readonly client?: OneOrMore
  /** Everything on these servers, without a slash: `files`, `team-*`. */
  readonly servers?: OneOrMore
  readonly tools?: OneOrMore
  readonly prompts?: OneOrMore
  /** `<server>/<URI>`, such as `files/file:///data/*`. */
  readonly resources?: OneOrMore
  /** Requests that are neither calls nor lists, such as `builds/tasks/*`. */
  readonly methods?: OneOrMore
  /** The rule applies to calls with such arguments only. For tools and prompts. */
  readonly arguments?: ArgumentConditions
}

export interface AllowOptions extends RuleOptions {
  /**
   * Callers who only lack the scopes see in their lists what they would open. Otherwise they do not see it, but are told of
   * the scopes when they call it.
   */
  readonly advertise?: boolean
}

export interface DenyOptions extends RuleOptions {
  /** What servers may not ask these callers: `<server>/sampling`, `<server>/elicitation`, `<server>/roots`. */
  readonly asks?: OneOrMore
}

/** Made by `allow` and `deny`; part of a policy. */
export interface PolicyRule {
  readonly effect: 'allow' | 'deny'
  readonly name: string | undefined
}

/** A rule, ready to be checked. */
export class CheckedRule implements PolicyRule {
  readonly effect: 'allow' | 'deny'
  readonly name: string | undefined
  readonly advertise: boolean
  readonly who: ReadonlyMap<'tenant' | 'issuer' | 'subject' | 'client', ReadonlySet<string>>
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly argumentRule: ArgumentRule | undefined
  readonly patterns: readonly RulePattern[]

  constructor(effect: 'allow' | 'deny', options: AllowOptions & DenyOptions) {
    this.effect = effect
    this.name = options.name
    this.advertise = options.advertise ?? false
    this.who = new Map(
      (['tenant', 'issuer', 'subject', 'client'] as const).flatMap((key) => {
        const wanted = options[key]
        return wanted === undefined ? [] : [[key, new Set(listOf(wanted))] as const]
      }),
    )
    this.roles = listOf(options.role)
    this.scopes = listOf(options.scope)
    this.argumentRule = options.arguments === undefined ? undefined : new ArgumentRule(options.arguments)
    this.patterns = patternKeys.flatMap((key) => {
      const kind = kindOfKey[key]
      return listOf(options[key]).map((text, index) => new RulePattern(kind, text, `${key}.${index}`))
    })
  }
}

export class RulePattern {
  /** `server`: everything on it. */
  readonly kind: PolicyTargetKind
  readonly server: Glob
  readonly name: Glob
  /** The server's part as it was written. */
  readonly serverText: string
  /** Where it stands in the options of its rule. */
  readonly path: string

  constructor(kind: PolicyTargetKind, text: string, path: string) {
    const slash = kind === 'server' ? text.length : text.indexOf('/')
    this.kind = kind
    this.serverText = text.slice(0, slash)
    this.server = Glob.parse(this.serverText) ?? new Glob([])
    this.name = kind === 'server' ? new Glob(['', '']) : (Glob.parse(text.slice(slash + 1)) ?? new Glob([]))
    this.path = path
  }
}

/** Callers whom the rule is for may see and use what it is about. */
export function allow(options: AllowOptions): PolicyRule {
  check('allow', allowSchema, options)
  return new CheckedRule('allow', options)
}

/** Callers whom the rule is for may not see or use what it is about, whatever other rules say. */
export function deny(options: DenyOptions): PolicyRule {
  check('deny', denySchema, options)
  return new CheckedRule('deny', options)
}

const kindOfKey = {
  servers: 'server',
  tools: 'tool',
  prompts: 'prompt',
  resources: 'resource',
  methods: 'method',
  asks: 'ask',
} as const satisfies Record<string, PolicyTargetKind>
const patternKeys = ['servers', 'tools', 'prompts', 'resources', 'methods', 'asks'] as const

function listOf(value: OneOrMore | undefined): readonly string[] {
  if (value === undefined) return []
  return typeof value === 'string' ? [value] : value
}

/** @throws ConfigError that names the rule, if it has a name */
function check(effect: 'allow' | 'deny', schema: z.ZodType, options: unknown): void {
  const issues = plainIssues(schema.safeParse(options), ruleLabel(effect, options))
  if (issues.length > 0) throw new ConfigError(issues)
}

function ruleLabel(effect: 'allow' | 'deny', options: unknown): string {
  const name = isRecord(options) ? options['name'] : undefined
  return typeof name === 'string' && name !== '' ? `${effect} (${name})` : effect
}

const BACKSLASH = 'a backslash escapes an asterisk or a backslash: write \\* or \\\\'

const pattern = z.string().check(({ value, issues }) => {
  const slash = value.indexOf('/')
  if (slash <= 0 || slash === value.length - 1)
    issues.push({
      code: 'custom',
      input: value,
      message: `expected <server>/<name>, such as files/* or */search, found ${JSON.stringify(value)}`,
    })
  else if (
    Glob.parse(value.slice(0, slash)) === undefined ||
    Glob.parse(value.slice(slash + 1)) === undefined
  )
    issues.push({ code: 'custom', input: value, message: BACKSLASH })
})
const serverPattern = z
  .string()
  .min(1)
  .refine(
    (text) => !text.includes('/'),
    'names a server as a whole: use tools, prompts or resources for parts of it',
  )
  .refine((text) => Glob.parse(text) !== undefined, BACKSLASH)
const plain = z
  .string()
  .min(1)
  .refine((text) => text !== '*', 'is compared as it stands; leave it out to mean everybody')
const oneOrMore = (one: z.ZodType<string>) =>
  z.preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(one).min(1).optional())

/** A `<server>/<tool>` pattern. */
export const toolPattern = pattern
export const oneOrMorePatterns = oneOrMore(pattern)

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()])
const condition = strict({
  equals: scalar.optional(),
  oneOf: z.array(scalar).min(1).readonly().optional(),
  pattern: z
    .string()
    .refine((text) => Glob.parse(text) !== undefined, BACKSLASH)
    .optional(),
  prefix: z.string().min(1).optional(),
  within: z.string().startsWith('/').optional(),
  min: z.number().optional(),
  max: z.number().optional(),
  absent: z.literal(true).optional(),
  optional: z.literal(true).optional(),
})
const conditions = z
  .record(z.string(), z.union([condition, scalar, z.array(scalar).min(1).readonly()]))
  .check(({ value, issues }) => {
    if (Object.keys(value).length === 0)
      issues.push({ code: 'custom', input: value, message: 'names no argument' })
    for (const [path, one] of Object.entries(value)) {
      const empty =
        isRecord(one) &&
        Object.entries(one).every(([key, member]) => key === 'optional' || member === undefined)
      if (segmentsOf(path) === undefined) {
        const message = `is no JSON Pointer: write /${path.replace(/^\//, '')}`
        issues.push({ code: 'custom', input: value, path: [path], message })
      } else if (empty) {
        const message =
          'optional' in one
            ? 'says only that the argument is optional: name what it is to be if it is there, beside "optional"'
            : 'says nothing about the argument'
        issues.push({ code: 'custom', input: value, path: [path], message })
      }
    }
  })

const common = {
  name: z.string().min(1).optional(),
  role: oneOrMore(plain),
  scope: oneOrMore(plain),
  tenant: oneOrMore(plain),
  subject: oneOrMore(plain),
  issuer: oneOrMore(plain),
  client: oneOrMore(plain),
  servers: oneOrMore(serverPattern),
  tools: oneOrMore(pattern),
  prompts: oneOrMore(pattern),
  resources: oneOrMore(pattern),
  methods: oneOrMore(pattern),
  arguments: conditions.optional(),
}

type Checked = { readonly [key in (typeof patternKeys)[number] | 'arguments']?: unknown }

/** What single keys do not show. */
function whole(value: Checked, report: (message: string, path: readonly string[]) => void): void {
  const given = patternKeys.filter((key) => value[key] !== undefined)
  if (given.length === 0) report(`is about nothing: name ${patternKeys.join(', ')}`, [])
  const without = given.filter((key) => key !== 'tools' && key !== 'prompts')
  if (value.arguments !== undefined && without.length > 0)
    report(`a rule with arguments is about tools and prompts, not ${without.join(', ')}`, ['arguments'])
}

const onlyFor = (effect: 'allow' | 'deny') => z.undefined({ error: `is for ${effect} only` }).optional()

const allowSchema = strict({ ...common, advertise: z.boolean().optional(), asks: onlyFor('deny') }).check(
  ({ value, issues }) =>
    whole(value, (message, path) => issues.push({ code: 'custom', input: value, message, path: [...path] })),
)
const denySchema = strict({ ...common, advertise: onlyFor('allow'), asks: oneOrMore(pattern) }).check(
  ({ value, issues }) =>
    whole(value, (message, path) => issues.push({ code: 'custom', input: value, message, path: [...path] })),
)

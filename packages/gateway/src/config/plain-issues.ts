import type { ConfigIssue } from '@sallyport/core'
import { z } from 'zod'
import { closestName } from './closest-name.ts'

/** An object with these members and no others: a misspelt one would otherwise switch off what it was to switch on. */
export function strict<Shape extends z.ZodRawShape>(
  shape: Shape,
  aliases: Readonly<Record<string, string>> = {},
) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => unknownKey(key, Object.keys(shape), aliases)).join(', ')
        : undefined,
  })
}

export function unknownKey(
  key: string,
  known: readonly string[],
  aliases: Readonly<Record<string, string>> = {},
): string {
  const alias = Object.hasOwn(aliases, key) ? aliases[key] : undefined
  const meant = alias !== undefined && known.includes(alias) ? alias : closestName(key, known)
  const hint = meant === undefined ? `known: ${known.join(', ')}` : `did you mean "${meant}"?`
  return `there is no "${key}" (${hint})`
}

/** Mistakes in words for people who do not know zod. No message shows a value: options hold secrets. */
export function plainIssues(result: z.ZodSafeParseResult<unknown>, base: string): ConfigIssue[] {
  return result.success ? [] : result.error.issues.flatMap((issue) => plain(issue, base))
}

function plain(issue: z.core.$ZodIssue, base: string): ConfigIssue[] {
  const path = [base, ...issue.path.map(String)].filter((part) => part !== '').join('.')
  if (issue.code === 'invalid_union' && issue.message === 'Invalid input') {
    const branch = issue.errors.toSorted((left, right) => depth(right) - depth(left))[0]
    if (branch !== undefined && depth(branch) > 0) return branch.flatMap((one) => plain(one, path))
    const words = new Set(issue.errors.flatMap((each) => each.map((one) => wordsFor(one))))
    words.delete(issue.message)
    if (words.size > 0) return [{ path, message: [...words].join(', or ') }]
  }
  return [{ path, message: wordsFor(issue) }]
}

/** How far a branch of a union got: the one that was meant gets farthest. */
function depth(branch: readonly z.core.$ZodIssue[]): number {
  return Math.max(0, ...branch.map((one) => one.path.length + (one.code === 'unrecognized_keys' ? 1 : 0)))
}

function wordsFor(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_key':
      return issue.issues.map((one) => `is no name for this: ${one.message}`).join('; ')
    case 'too_small': {
      if (issue.origin === 'string') return 'is empty'
      if (issue.origin === 'array') return 'is empty: leave it out, or name one'
      return `expected a number ${issue.inclusive === true ? 'of at least' : 'greater than'} ${issue.minimum}`
    }
    case 'too_big':
      if (issue.origin === 'string') return `is longer than ${issue.maximum} characters`
      return `expected a number of at most ${issue.maximum}`
    case 'invalid_type':
      if (issue.message.endsWith('received undefined'))
        return `is missing: expected ${article(issue.expected)}`
      if (issue.expected === 'int') return 'expected a whole number'
      return issue.message
        .replace(/^Invalid input: expected \w+/, `expected ${article(issue.expected)}`)
        .replace('received', 'found')
    case 'invalid_value':
      return `expected ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`
    default:
      return issue.message
  }
}

function article(type: string): string {
  if (type === 'record') return 'an object'
  return `${/^[aio]/.test(type) ? 'an' : 'a'} ${type}`
}

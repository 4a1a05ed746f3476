import { z } from 'zod'
import { closestName } from './closest-name.ts'

/**
 * An object with these functions, its own or those of its class, and whatever else it may have. A port that cannot be called would
 * be found out by the first client.
 */
export function port(...functions: readonly string[]): z.ZodType {
  return z
    .unknown()
    .check(({ value, issues }) => {
      if (value === undefined) return
      const without = isObject(value)
        ? functions.filter((name) => typeof value[name] !== 'function')
        : functions
      if (without.length === 0) return
      const missing = without.map((name) => `"${name}"`).join(', ')
      const what = without.length === 1 ? `a function ${missing}` : `the functions ${missing}`
      const found = typeof value === 'function' ? `, found a function: write { ${functions[0]}: … }` : ''
      issues.push({ code: 'custom', input: value, message: `expected an object with ${what}${found}` })
    })
    .optional()
}

export const functionPort: z.ZodType = z
  .custom((value) => typeof value === 'function', 'expected a function')
  .optional()

const phases = ['list', 'request', 'response']

/** An interceptor, which may be the instance of a class and have members of its own. */
export const interceptor: z.ZodType = z.unknown().check(({ value, issues }) => {
  const report = (message: string, ...path: string[]) =>
    issues.push({ code: 'custom', input: value, message, path })
  if (!isObject(value)) {
    report('expected an object with a name and list, request or response')
    return
  }
  if (typeof value['name'] !== 'string' || value['name'] === '')
    report('expected a text that is not empty', 'name')
  const before = issues.length
  for (const phase of ['list', 'request'])
    if (value[phase] !== undefined && typeof value[phase] !== 'function') report('expected a function', phase)
  responseMistake(value['response'], (message) => report(message, 'response'))
  for (const [key, member] of Object.entries(value)) {
    if (key === 'name' || phases.includes(key) || !(typeof member === 'function' || isObject(member)))
      continue
    const meant = closestName(key, phases)
    // beside the phase itself it is a member of its own
    if (meant !== undefined && value[meant] === undefined)
      report(`there is no "${key}" (did you mean "${meant}"?)`)
  }
  if (issues.length === before && phases.every((phase) => value[phase] === undefined))
    report('does nothing: it has neither list nor request nor response')
})

function responseMistake(response: unknown, report: (message: string) => void): void {
  if (response === undefined) return
  const shape = "{ body: 'none' | 'size' | 'buffer', handle }"
  if (typeof response === 'function') report(`expected ${shape}, found a function`)
  else if (!isObject(response)) report(`expected ${shape}`)
  else if (!['none', 'size', 'buffer'].includes(String(response['body'])))
    report(`expected "body" to be 'none', 'size' or 'buffer'`)
  else if (typeof response['handle'] !== 'function') report('expected a function "handle"')
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

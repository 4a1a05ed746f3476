/** The text with every variable filled in, or what is wrong with it. */
export type Expansion =
  | { readonly text: string; readonly problems?: never }
  | { readonly problems: readonly string[] }

/**
 * Fills in `${NAME}`, `${NAME:-default}` and `${env:NAME}` in one pass: what comes out of a variable is never expanded again.
 * As in a shell, the default also stands in for an empty variable. A `$` that does not begin such an expression is just a `$`.
 */
export function expandVariables(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): Expansion {
  const problems: string[] = []
  const expanded = text.replaceAll(/\$\{([^}]*)\}/g, (_, expression: string) => {
    const match = /^(?:env:)?([A-Za-z_]\w*)(?::-(.*))?$/s.exec(expression)
    if (match === null) {
      problems.push(explain(expression))
      return ''
    }
    const [, name = '', fallback] = match
    const value = Object.hasOwn(environment, name) ? environment[name] : undefined
    if (value !== undefined && (value !== '' || fallback === undefined)) return value
    if (fallback !== undefined) return fallback
    problems.push(explainMissing(name))
    return ''
  })
  return problems.length > 0 ? { problems } : { text: expanded }
}

function explain(expression: string): string {
  if (expression.startsWith('input:')) {
    return `"\${${expression}}" would be asked for by an editor; a gateway has nobody to ask: use an environment variable`
  }
  return `"\${${expression}}" is not an expression that is known here; expected \${NAME}, \${NAME:-default} or \${env:NAME}`
}

function explainMissing(name: string): string {
  if (editorVariables.has(name)) return `"\${${name}}" is filled in by editors only; write the path itself`
  return `the environment variable ${name} is not set, and there is no default`
}

const editorVariables = new Set([
  'workspaceFolder',
  'workspaceFolderBasename',
  'workspaceRoot',
  'userHome',
  'pathSeparator',
  'file',
  'cwd',
])

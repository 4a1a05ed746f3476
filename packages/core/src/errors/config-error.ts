import { SallyportError } from './sallyport-error.ts'

/** One thing that is wrong with a configuration. */
export interface ConfigIssue {
  /** Where: the path of the key, such as `mcpServers.files.command`. */
  readonly path: string
  /** What was found and what was expected. */
  readonly message: string
  /** Line in the configuration file, counted from 1; absent when the options were not read from a file. */
  readonly line?: number
  /** Column in that line, counted from 1. */
  readonly column?: number
}

/** Options or a configuration file that cannot be used. Thrown at once, before anything starts. */
export class ConfigError extends SallyportError {
  readonly code = 'ERR_CONFIG'
  readonly issues: readonly ConfigIssue[]
  /** The file that holds the mistake, where there is one. */
  readonly file: string | undefined

  constructor(issues: readonly ConfigIssue[], options: { file?: string; cause?: unknown } = {}) {
    super(issues.map((issue) => describe(issue, options.file)).join('\n'), options)
    this.issues = issues
    this.file = options.file
  }
}

function describe(issue: ConfigIssue, file: string | undefined): string {
  const place = [file, issue.line, issue.column].filter((part) => part !== undefined).join(':')
  return [place, issue.path, issue.message].filter((part) => part !== '').join(': ')
}

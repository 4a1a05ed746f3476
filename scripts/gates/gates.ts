export interface Gate {
  name: string
  command: readonly string[]
  /** Gates that must have passed before: this one reads what they made. */
  after?: readonly string[]
  /** A part of the project that comes later; without it the gate has nothing to look at. */
  needs?: string
  /** More prints a warning and fails nothing. */
  budgetSeconds: number
}

// In the order in which they start. What others wait for comes first, the long ones before the short ones.
export const gates: readonly Gate[] = [
  { name: 'build', command: ['node', 'scripts/gates/build.ts'], budgetSeconds: 60 },
  { name: 'types-6', command: ['node', 'node_modules/typescript/bin/tsc', '-p', '.'], budgetSeconds: 30 },
  { name: 'pack', after: ['build'], command: ['node', 'scripts/gates/pack.ts'], budgetSeconds: 20 },
  {
    name: 'conformance',
    needs: 'tests/conformance/run.ts',
    command: ['node', '--conditions=@sallyport/source', 'tests/conformance/run.ts'],
    budgetSeconds: 420,
  },
  { name: 'consumer', after: ['pack'], command: ['node', 'tests/consumer/run.ts'], budgetSeconds: 90 },
  { name: 'docs-code', after: ['pack'], command: ['node', 'scripts/gates/docs-code.ts'], budgetSeconds: 90 },
  { name: 'examples', command: ['node', 'scripts/gates/examples.ts'], budgetSeconds: 120 },
  { name: 'types-7', command: ['node', 'node_modules/typescript-7/bin/tsc', '-p', '.'], budgetSeconds: 10 },
  { name: 'lint', command: ['oxlint', '--type-aware', '--max-warnings', '0'], budgetSeconds: 20 },
  { name: 'format', command: ['biome', 'format', '.'], budgetSeconds: 10 },
  { name: 'edges', command: ['node', 'scripts/gates/edges.ts'], budgetSeconds: 10 },
  { name: 'unused', command: ['knip', '--no-progress'], budgetSeconds: 20 },
  { name: 'api-report', command: ['node', 'scripts/gates/api-report.ts'], budgetSeconds: 20 },
  { name: 'publint', after: ['pack'], command: ['node', 'scripts/gates/publint.ts'], budgetSeconds: 20 },
  { name: 'attw', after: ['pack'], command: ['node', 'scripts/gates/attw.ts'], budgetSeconds: 60 },
  { name: 'docs-api', command: ['typedoc', '--emit', 'none'], budgetSeconds: 60 },
]

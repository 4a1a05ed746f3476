/**
 * One test of a contract, for any test runner: `run` rejects when the adapter breaks the contract.
 * ```ts
 * for (const { name, run } of mcpSessionStoreContract({ open })) test(name, run)
 * ```
 */
export interface ContractCase {
  readonly name: string
  run(): Promise<void>
}

/** Each case gets a subject of its own, which is closed whatever happens. */
export function casesFor<S extends { close?(): void | Promise<void> }>(
  open: () => S | Promise<S>,
  checks: Readonly<Record<string, (subject: S) => void | Promise<void>>>,
): ContractCase[] {
  return Object.entries(checks).map(([name, check]) => ({
    name,
    async run() {
      const subject = await open()
      try {
        await check(subject)
      } finally {
        await subject.close?.()
      }
    },
  }))
}

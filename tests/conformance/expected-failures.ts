/**
 * What may fail, cell by cell, and why. Anything else that fails ends the run with exit code 1, and so does an entry
 * here whose scenario or check passes.
 */
export interface ExpectedFailure {
  /** `<scenario>`, or `<scenario>:<check id>` to expect only that check to fail. */
  id: string
  reason: string
  /** The section of the specification that shows why it cannot or need not pass. */
  spec: string
}

export const expectedFailures: Record<string, ExpectedFailure[]> = {}

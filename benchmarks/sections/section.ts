import type { Bench, Group, GroupReports } from '../measure/bench.ts'
import type { RowDefinition, RowValues } from '../measure/rows.ts'

/** Rows that are measured together, because they come from the same groups: the least that can be run alone. */
export interface Section {
  rows: readonly RowDefinition[]
  /** A row that could not be measured is left out of what it returns. */
  run(tools: SectionTools): Promise<RowValues>
}

export interface SectionTools {
  bench: Bench
  /** For tables that explain the rows. */
  print(text: string): void
  /** Runs a group and prints its table. */
  measure(group: Group): Promise<GroupReports>
}

import type { Bench } from '../measure/bench.ts'
import type { Row } from '../measure/rows.ts'

/** Rows that belong together and are measured together; their ids begin with its name. */
export interface Area {
  name: string
  /** `print` is for tables that explain the rows. */
  run(bench: Bench, print: (text: string) => void): Promise<Row[]>
}

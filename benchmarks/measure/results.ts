import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem, type } from 'node:os'
import { isRecord } from '../load/answer-check.ts'
import type { Row } from './rows.ts'

/** What results.json holds: the rows, and on what they were measured. */
export interface Results {
  /** ISO 8601. */
  startedAt: string
  minutes: number
  command: string
  machine: Machine
  rounds: number
  secondsPerCell: number
  /** Most that strangers to the benchmark used in any cell; null where nothing tells. */
  strangersCores: number | null
  rows: Row[]
  /** Wrong answers and paths that did not run. */
  faults: readonly string[]
}

export interface Machine {
  processor: string
  cores: number
  memoryGigabytes: number
  system: string
  node: string
}

export function thisMachine(): Machine {
  const processors = cpus()
  return {
    processor: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    node: process.version,
  }
}

/** One line that says when, where and how; it stands above the table. */
export function describeRun(results: Results): string {
  const { startedAt, minutes, command, machine, rounds, secondsPerCell, strangersCores } = results
  const strangers = strangersCores === null ? '' : `, strangers used at most ${strangersCores} cores`
  return `\`${command}\`, ${startedAt.slice(0, 10)}, ${minutes} minutes: ${rounds} rounds, ${secondsPerCell} s a cell; ${machine.cores} cores (${machine.processor}), ${machine.memoryGigabytes} GB, ${machine.system}, Node ${machine.node.slice(1)}${strangers}`
}

export function writeResults(file: string, results: Results): void {
  writeFileSync(file, `${JSON.stringify(results, undefined, 2)}\n`)
}

export function readResults(file: string): Results {
  const results: unknown = JSON.parse(readFileSync(file, 'utf8'))
  if (!isResults(results)) throw new Error(`${file} does not hold the results of a benchmark`)
  return results
}

/** They are our own: enough is looked at to tell another file from one of these. */
function isResults(value: unknown): value is Results {
  return (
    isRecord(value) &&
    Array.isArray(value.rows) &&
    isRecord(value.machine) &&
    typeof value.startedAt === 'string'
  )
}

import type { DuplexChannel } from './duplex-channel.ts'
import type { StdioChild } from './stdio-child.ts'

/** One child process of a server, as it is now. */
export interface ProcessStatus {
  /** Absent while it is being started. */
  readonly pid: number | undefined
  readonly uptimeMs: number
  /** Who uses it: many sessions, one session alone, or callers of the modern era. */
  readonly use: 'shared' | 'session' | 'modern'
  /** Requests that were ever sent to it. */
  readonly calls: number
  readonly openCalls: number
}

export function processStatus(
  child: StdioChild,
  channel: DuplexChannel,
  use: ProcessStatus['use'],
): ProcessStatus {
  const { pid, uptimeMs } = child
  return { pid, uptimeMs, use, calls: channel.sentCount, openCalls: channel.openCount }
}

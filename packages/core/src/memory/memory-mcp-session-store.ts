import type { McpSessionRecord, McpSessionStore } from '../mcp-session-store.ts'

/**
 * Keeps sessions in this process. Expired records are dropped when they are met, and by a sweep that runs after
 * every 1,000 writes, so that abandoned sessions do not pile up.
 * @param options.now clock in milliseconds since the epoch (default `Date.now`)
 */
export function createMemoryMcpSessionStore(options: { now?: () => number } = {}): McpSessionStore {
  const now = options.now ?? Date.now
  const records = new Map<string, McpSessionRecord>()
  let writes = 0
  const live = (id: string) => {
    const record = records.get(id)
    if (record !== undefined && record.expiresAt > now()) return record
    records.delete(id)
    return undefined
  }
  return {
    put(record) {
      records.set(record.id, copy(record))
      if (++writes % 1_000 === 0) for (const id of records.keys()) live(id)
    },
    get(id) {
      const record = live(id)
      return record === undefined ? undefined : copy(record)
    },
    update(id, change) {
      const record = live(id)
      if (record === undefined) return false
      records.set(id, {
        ...record,
        expiresAt: change.expiresAt ?? record.expiresAt,
        upstreamSessions: { ...record.upstreamSessions, ...change.upstreamSessions },
      })
      return true
    },
    delete(id) {
      return live(id) !== undefined && records.delete(id)
    },
  }
}

function copy(record: McpSessionRecord): McpSessionRecord {
  return { ...record, upstreamSessions: { ...record.upstreamSessions } }
}

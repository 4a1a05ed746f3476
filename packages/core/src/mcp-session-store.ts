/** A gateway's session with an MCP client of the legacy era, as far as another process can take it over. */
export interface McpSessionRecord {
  readonly id: string
  readonly tenant: string
  /** `principalKey` of the caller who opened it; nobody else may use it. */
  readonly owner: string
  /** The server whose own path was called; absent for the aggregated endpoint. */
  readonly endpoint?: string
  /** Negotiated revision. */
  readonly protocolVersion: string
  /** The `params` of the client's `initialize` as JSON text: needed to open sessions with servers later. */
  readonly initializeParams: string
  /** Session ids that HTTP servers gave to the gateway, by server name. */
  readonly upstreamSessions: Readonly<Record<string, string>>
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
}

/**
 * Keeps MCP sessions (not people's logins). Records are copied in and out: what a caller does to an object it got
 * does not change the store. Expiry is decided by comparing `expiresAt` with the store's clock: an expired record is
 * absent for `get` and `update`. A dead backend raises `StorageUnavailableError`, never `undefined`.
 */
export interface McpSessionStore {
  /** Stores a new record, or replaces the one with this id. */
  put(record: McpSessionRecord): void | Promise<void>
  get(id: string): McpSessionRecord | undefined | Promise<McpSessionRecord | undefined>
  /**
   * Changes fields of a record in one step: `expiresAt` is replaced, `upstreamSessions` is merged by name.
   * False if there is no such record.
   */
  update(
    id: string,
    change: { expiresAt?: number; upstreamSessions?: Readonly<Record<string, string>> },
  ): boolean | Promise<boolean>
  /** True if it was there. */
  delete(id: string): boolean | Promise<boolean>
}

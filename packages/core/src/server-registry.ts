import type { ServerDefinition } from './server-definition.ts'

/**
 * The MCP servers behind a gateway, and news of their change.
 *
 * `list` returns the servers in the order in which clients are to see them. After `watch`, the listener is called once
 * for each change that has become visible to `list`; it carries no data, so a burst may be answered by one `list`.
 * The returned function ends the watch. A dead backend rejects `list`: the gateway then keeps what it has.
 */
export interface ServerRegistry {
  list(): ReadonlyMap<string, ServerDefinition> | Promise<ReadonlyMap<string, ServerDefinition>>
  watch(listener: () => void): () => void
}

import type { Readable, Writable } from 'node:stream'
import type { NamedServer, StdioServerDefinition } from './server-definition.ts'

/** How a server's process ended. */
export interface ServerExit {
  readonly code: number | null
  readonly signal: string | null
}

/** A running server that speaks MCP on its standard streams. */
export interface ServerProcess {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  /** Settles once, when nothing of the server runs any more. Never rejects. */
  readonly exited: Promise<ServerExit>
  /** Ends it without delay. The gateway closes `stdin` first and calls this when that was not enough. */
  kill(): void
  /** For logs and for tests that look at the process table; absent where there is no process. */
  readonly pid?: number
}

/**
 * Starts MCP servers. `start` resolves when the streams can be used, which does not mean that the server is ready;
 * it rejects when the server cannot be started at all. An aborted `signal` ends a start that is under way.
 */
export interface ServerRuntime {
  start(
    server: NamedServer & { readonly definition: StdioServerDefinition },
    signal: AbortSignal,
  ): Promise<ServerProcess>
}

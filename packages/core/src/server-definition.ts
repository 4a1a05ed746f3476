/** What every kind of server may carry. */
interface CommonServerDefinition {
  /** Milliseconds that a call may take until its final answer. */
  readonly timeoutMs?: number
  /** Default: the gateway sends a call again only if the server cannot have begun to work on it. */
  readonly retry?: RetryDefinition
}

/** When a call that was lost after it had been sent is sent again. */
export interface RetryDefinition {
  /**
   * `annotated`: tools that the server's list marks with `readOnlyHint` or `idempotentHint`, and what only reads by its
   * definition in the protocol (lists, resources, prompts, completions). The marks are the server's own word for it.
   */
  readonly onlyIf: 'annotated'
  /** How many times more (default 1, at most 5). */
  readonly attempts?: number
}

/** A server that runs as a child process and speaks on its standard streams. */
export interface StdioServerDefinition extends CommonServerDefinition {
  readonly command: string
  readonly args?: readonly string[]
  /** Added to the minimal environment that every child gets; nothing of the gateway's own environment is inherited. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /**
   * Who may share one process. Sessions whose client declares sampling, elicitation or roots always get a process of
   * their own, because on stdio a server's question does not say whose call it belongs to.
   * - `tenant` (default): everyone of one tenant
   * - `principal`: sessions of one caller
   * - `session`: nobody
   */
  readonly sharing?: 'tenant' | 'principal' | 'session'
}

/** A server that is reached by URL. */
export interface HttpServerDefinition extends CommonServerDefinition {
  readonly url: string
  /** Sent with every request to this server. */
  readonly headers?: Readonly<Record<string, string>>
  /**
   * - `auto` (default): Streamable HTTP, and the HTTP+SSE transport of 2024-11-05 if the server knows nothing newer
   * - `streamable-http`, `sse`: that one only
   */
  readonly transport?: 'auto' | 'streamable-http' | 'sse'
}

/** How an MCP server is reached. The presence of `command` or `url` tells which. */
export type ServerDefinition = StdioServerDefinition | HttpServerDefinition

/** A definition under its name in the registry. */
export interface NamedServer {
  readonly name: string
  readonly definition: ServerDefinition
}

export function isStdioServer(definition: ServerDefinition): definition is StdioServerDefinition {
  return 'command' in definition
}

import type { McpServer, ServerNotifier } from '@modelcontextprotocol/server'
import type { FixtureTool } from './tools/fixture-tool.ts'

/** Which protocol generation is answered: `modern` is 2026-07-28, `legacy` everything with a handshake. */
export type UpstreamEra = 'dual' | 'modern' | 'legacy'

/** One HTTP request as it reached this server: what a proxy in front let through. */
export interface ReceivedRequest {
  httpMethod: string
  path: string
  headers: Record<string, string>
  /** JSON-RPC method of the body; absent for GET, DELETE, batches and posted responses. */
  rpcMethod?: string
}

/** A `slow` call that was told to stop before its time was over. */
export interface Cancellation {
  key: string
  afterMs: number
}

const receivedLimit = 200

/**
 * What outlives a single server instance: the SDK builds one instance per modern HTTP request and one per legacy
 * session, so anything a later call must see (changed lists, subscriptions, observations) lives here.
 */
export class UpstreamState {
  readonly transport: 'http' | 'stdio'
  readonly received: ReceivedRequest[] = []
  readonly cancellations: Cancellation[] = []
  readonly addedTools: FixtureTool[] = []
  /** Instances with a connection of their own: legacy sessions, or the one instance of a stdio process. */
  readonly #connected = new Map<McpServer, Set<string>>()
  readonly #toolAdders = new WeakMap<McpServer, (tool: FixtureTool) => void>()
  #notifier: ServerNotifier | undefined

  constructor(transport: 'http' | 'stdio') {
    this.transport = transport
  }

  set notifier(notifier: ServerNotifier) {
    this.#notifier = notifier
  }

  record(request: ReceivedRequest): void {
    this.received.push(request)
    if (this.received.length > receivedLimit) this.received.shift()
  }

  /** How an instance that is already connected offers one tool more; it announces that by itself. */
  whenToolAdded(server: McpServer, add: (tool: FixtureTool) => void): void {
    this.#toolAdders.set(server, add)
  }

  /** Counts an instance as connected until it closes: a stdio probe's instance is thrown away on fallback. */
  connect(server: McpServer): void {
    this.#connected.set(server, new Set())
    server.server.onclose = () => {
      this.#connected.delete(server)
    }
  }

  subscribe(server: McpServer, uri: string): void {
    this.#connected.get(server)?.add(uri)
  }

  unsubscribe(server: McpServer, uri: string): void {
    this.#connected.get(server)?.delete(uri)
  }

  addTool(tool: FixtureTool): void {
    this.addedTools.push(tool)
    this.#notifier?.toolsChanged()
    for (const server of this.#connected.keys()) this.#toolAdders.get(server)?.(tool)
  }

  announceTools(): void {
    this.#notifier?.toolsChanged()
    for (const server of this.#connected.keys()) server.sendToolListChanged()
  }

  announcePrompts(): void {
    this.#notifier?.promptsChanged()
    for (const server of this.#connected.keys()) server.sendPromptListChanged()
  }

  /**
   * Modern streams are filtered by the SDK. A legacy session hears only of what it subscribed to; a modern stdio
   * connection holds its filter in the SDK as well.
   */
  async announceResource(uri: string): Promise<void> {
    this.#notifier?.resourceUpdated(uri)
    for (const [server, uris] of this.#connected) {
      const isModern = server.server.getNegotiatedProtocolVersion() === '2026-07-28'
      if (isModern || uris.has(uri)) await server.server.sendResourceUpdated({ uri })
    }
  }
}

import type { GatewayOptions } from '../../src/index.ts'
import { startGateway } from '../flow/harness.ts'
import { at, type Json } from '../flow/raw-client.ts'
import { startScriptedHttp } from '../flow/scripted-http.ts'
import { scriptedRuntime } from '../flow/scripted-runtime.ts'
import { RpcFailure, type Script, type Turn } from '../flow/scripted-server.ts'

export const subscription = 'io.modelcontextprotocol/subscriptionId'

export interface ModernScript {
  readonly capabilities?: Json
  readonly tools?: readonly Json[]
  readonly on?: Script['on']
  readonly call?: Script['call']
  /** What `server/discover` answers beside the usual. */
  readonly discover?: Json
}

/** A server that speaks 2026-07-28 and refuses the handshake of earlier revisions, as an SDK server set to do so. */
export function modernScript({ capabilities, tools = [], on = {}, call, discover }: ModernScript): Script {
  return {
    name: 'modern',
    tools,
    ...(call !== undefined && { call }),
    on: {
      initialize: () => {
        throw new RpcFailure(-32022, 'Unsupported protocol version', { supported: ['2026-07-28'] })
      },
      'server/discover': () => ({
        resultType: 'complete',
        supportedVersions: ['2026-07-28'],
        capabilities: capabilities ?? {
          tools: { listChanged: true },
          prompts: {},
          resources: { subscribe: true, listChanged: true },
          logging: {},
          completions: {},
        },
        instructions: 'be kind',
        ttlMs: 0,
        cacheScope: 'private',
        _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'modern', version: '7' } },
        ...discover,
      }),
      'tools/list': () => ({ resultType: 'complete', ttlMs: 5, cacheScope: 'public', tools }),
      ...on,
    },
  }
}

export interface ModernBehindGateway {
  readonly url: string
  readonly path: string
  readonly log: readonly string[]
  /** Requests of one method, as the server got them. */
  messages(method: string): readonly Json[]
  /** HTTP headers of the requests of one method. */
  headers(method: string): readonly Readonly<Record<string, unknown>>[]
  /** Ids of requests that the gateway does not want answered any more. */
  cancelled(): readonly unknown[]
  /** Ends the process, or breaks every connection. */
  crash(): void
  /** Processes that were started, over stdio. */
  processes(): number
}

export type Transport = 'http' | 'stdio'

/** A gateway with one server `s`, over either transport. */
export async function behindGateway(
  transport: Transport,
  script: Script,
  options: Partial<GatewayOptions> = {},
): Promise<ModernBehindGateway> {
  if (transport === 'http') {
    const turns = new Set<Turn>()
    const server = await startScriptedHttp(tracking(script, turns), { stateless: true })
    const {
      url,
      at: path,
      log,
      gateway,
    } = await startGateway({ ...options, servers: { s: { url: server.url } } })
    await gateway.ready()
    return {
      url,
      path: path('s'),
      log,
      messages: (method) => server.messages(method),
      headers: (method) =>
        server.received.flatMap(({ message, headers }) => (message?.['method'] === method ? [headers] : [])),
      cancelled: () => server.hungUp.map(({ id }) => id),
      crash: () => {
        for (const turn of turns) if ('drop' in turn && typeof turn.drop === 'function') turn.drop()
      },
      processes: () => 0,
    }
  }
  const runtime = scriptedRuntime({ s: script })
  const {
    url,
    at: path,
    log,
    gateway,
  } = await startGateway({
    ...options,
    servers: { s: { command: 's' } },
    runtime,
  })
  await gateway.ready()
  return {
    url,
    path: path('s'),
    log,
    messages: (method) => runtime.processes.flatMap((process) => process.messages(method)),
    headers: () => [],
    cancelled: () =>
      runtime.processes.flatMap((process) =>
        process.messages('notifications/cancelled').map((message) => at(message, 'params', 'requestId')),
      ),
    crash: () => {
      for (const process of runtime.processes) if (process.running()) process.crash()
    },
    processes: () => runtime.processes.length,
  }
}

function tracking(script: Script, turns: Set<Turn>): Script {
  const { call } = script
  if (call === undefined) return script
  return {
    ...script,
    call: (turn, tool) => {
      turns.add(turn)
      return call(turn, tool)
    },
  }
}

/** A result of the modern era. */
export function complete(result: Json): Json {
  return { resultType: 'complete', ...result }
}

export function needsInput(inputRequests: Json | undefined, requestState?: string): Json {
  return {
    resultType: 'input_required',
    ...(inputRequests !== undefined && { inputRequests }),
    ...(requestState !== undefined && { requestState }),
  }
}

export const tool = (name: string, more: Json = {}): Json => ({
  name,
  inputSchema: { type: 'object' },
  ...more,
})

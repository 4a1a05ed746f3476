import type { Json } from './raw-client.ts'
import { at, isJson } from './raw-client.ts'

/** One request that a scripted server is working on. */
export interface Turn {
  readonly message: Json
  readonly method: string
  readonly params: Json
  /** The connection or session that it came on. */
  readonly link: Link
  /** Sends a notification or anything else before the answer, on the same way back. */
  send(message: Json): void
  /** Asks the client; ids are counted from 1 on every link, as many servers do. */
  ask(method: string, params: Json, id?: string | number): Promise<Json>
  /** Never resolves: the script answers in its own way, or not at all. */
  silence(): Promise<never>
}

/** What is between a scripted server and one peer. */
export interface Link {
  readonly id: string
  /** Says something that belongs to no request. */
  push(message: Json): void
  readonly received: Json[]
  readonly initialize: Json
}

/** Thrown by a script to answer with an error. */
export class RpcFailure extends Error {
  readonly code: number
  readonly data: unknown
  constructor(code: number, message: string, data?: unknown) {
    super(message)
    this.code = code
    this.data = data
  }
}

export interface Script {
  readonly name?: string
  readonly capabilities?: Json
  readonly instructions?: string
  /** Answers `tools/list`. */
  readonly tools?: readonly (string | Json)[]
  readonly resources?: readonly Json[]
  readonly templates?: readonly Json[]
  /** Handlers by method; they go before what follows from the lists above. */
  readonly on?: Readonly<Record<string, (turn: Turn) => unknown>>
  /** Default answers any tool call with its name and arguments. */
  readonly call?: (turn: Turn, tool: string) => unknown
}

/** What a script answers to a request, or throws. */
export async function answerOf(script: Script, turn: Turn): Promise<unknown> {
  const { method, params } = turn
  const handler = script.on?.[method]
  if (handler !== undefined) return handler(turn)
  switch (method) {
    case 'initialize':
      return {
        protocolVersion: at(params, 'protocolVersion'),
        capabilities: script.capabilities ?? capabilitiesOf(script),
        serverInfo: { name: script.name ?? 'scripted', version: '1' },
        ...(script.instructions !== undefined && { instructions: script.instructions }),
      }
    case 'ping':
    case 'logging/setLevel':
    case 'resources/subscribe':
    case 'resources/unsubscribe':
      return {}
    case 'tools/list':
      return { tools: (script.tools ?? []).map(tool) }
    case 'resources/list':
      return { resources: script.resources ?? [] }
    case 'resources/templates/list':
      return { resourceTemplates: script.templates ?? [] }
    case 'resources/read':
      return { contents: [{ uri: params['uri'], text: `${script.name} read ${String(params['uri'])}` }] }
    case 'tools/call':
      return script.call === undefined
        ? text(`${script.name}:${String(params['name'])}:${JSON.stringify(params['arguments'] ?? null)}`)
        : script.call(turn, String(params['name']))
    default:
      throw new RpcFailure(-32601, `Method not found: ${method}`)
  }
}

function capabilitiesOf(script: Script): Json {
  return {
    ...(script.tools !== undefined && { tools: { listChanged: true } }),
    ...((script.resources ?? script.templates) !== undefined && {
      resources: { listChanged: true, subscribe: true },
    }),
    logging: {},
  }
}

function tool(it: string | Json): Json {
  return typeof it === 'string' ? { name: it, inputSchema: { type: 'object' } } : it
}

export function text(value: string): Json {
  return { content: [{ type: 'text', text: value }] }
}

/** Turns what a script returns or throws into a response. */
export async function respond(script: Script, turn: Turn): Promise<Json> {
  const id = turn.message['id']
  try {
    return { jsonrpc: '2.0', id, result: (await answerOf(script, turn)) ?? {} }
  } catch (error) {
    const { message } = error instanceof Error ? error : { message: String(error) }
    const code = error instanceof RpcFailure ? error.code : -32603
    const data = error instanceof RpcFailure ? error.data : undefined
    return { jsonrpc: '2.0', id, error: { code, message, ...(data !== undefined && { data }) } }
  }
}

/** Questions of one link that wait for their answers. */
export class Questions {
  readonly #open = new Map<unknown, (response: Json) => void>()
  #next = 1

  ask(
    send: (message: Json) => void,
    method: string,
    params: Json,
    id: string | number = this.#next++,
  ): Promise<Json> {
    return new Promise((resolve) => {
      this.#open.set(id, resolve)
      send({ jsonrpc: '2.0', id, method, params })
    })
  }

  /** True if the message answers one of them. */
  answered(message: Json): boolean {
    if ('method' in message) return false
    this.#open.get(message['id'])?.(message)
    return this.#open.delete(message['id'])
  }
}

export function paramsOf(message: Json): Json {
  const params = message['params']
  return isJson(params) ? params : {}
}

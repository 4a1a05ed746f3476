import type { GatewayOptions } from '../../src/index.ts'
import { type RunningGateway, startGateway } from '../flow/harness.ts'
import { at, type Json, modern, type ModernOptions, modernStart, type RawStream } from '../flow/raw-client.ts'
import { type HttpLink, type ScriptedHttp, startScriptedHttp } from '../flow/scripted-http.ts'
import { type ScriptedProcess, scriptedRuntime } from '../flow/scripted-runtime.ts'
import type { Link, Script } from '../flow/scripted-server.ts'

export const transports = ['HTTP', 'stdio'] as const
export type Transport = (typeof transports)[number]

export interface LegacyBehind extends RunningGateway {
  readonly transport: Transport
  /** The server's own path. */
  readonly own: string
  /** What the server got of one method, over all its sessions. */
  readonly messages: (method: string) => readonly Json[]
  /** Sessions or processes, oldest first, with what each got; without those that the gateway had for itself when it was ready. */
  readonly links: () => readonly Link[]
  readonly http: ScriptedHttp | undefined
  readonly processes: () => readonly ScriptedProcess[]
}

/** A gateway with one server `s` of the legacy era. */
export async function startLegacyBehind(
  transport: Transport,
  script: Script,
  options: Partial<GatewayOptions> = {},
): Promise<LegacyBehind> {
  const http = transport === 'HTTP' ? await startScriptedHttp(script) : undefined
  const runtime = scriptedRuntime({ s: script })
  const running = await startGateway({
    runtime,
    ...options,
    servers: { s: http === undefined ? { command: 's' } : { url: http.url } },
  })
  await running.gateway.ready()
  const all = (): readonly Link[] => (http === undefined ? runtime.processes : [...http.links.values()])
  const before = new Set(all().map(({ id }) => id))
  const links = () => all().filter(({ id }) => !before.has(id))
  return {
    ...running,
    transport,
    own: running.at('s'),
    http,
    links,
    processes: () => runtime.processes,
    messages: (method) =>
      http === undefined ? runtime.processes.flatMap((each) => each.messages(method)) : http.messages(method),
  }
}

export function httpLinks(behind: LegacyBehind): readonly HttpLink[] {
  return [...(behind.http?.links.values() ?? [])]
}

const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities'
export const everything: Json = { sampling: {}, elicitation: { form: {}, url: {} }, roots: {} }

export interface CallOptions extends ModernOptions {
  readonly capabilities?: Json
}

export function withCapabilities({
  capabilities = everything,
  meta = {},
  ...rest
}: CallOptions): ModernOptions {
  return { ...rest, meta: { [CAPABILITIES]: capabilities, ...meta } }
}

/** `tools/call` of a client that can answer everything. */
export function callTool(
  url: string,
  name: string,
  args: Json = {},
  options: CallOptions = {},
  more: Json = {},
): Promise<Json & { readonly status: number }> {
  return modern(url, 'tools/call', { name, arguments: args, ...more }, withCapabilities(options))
}

export function startTool(
  url: string,
  name: string,
  args: Json = {},
  options: CallOptions = {},
  more: Json = {},
): Promise<RawStream> {
  return modernStart(url, 'tools/call', { name, arguments: args, ...more }, withCapabilities(options))
}

/** The questions of an `input_required` result by key, and what goes back with the answers. */
export function questionsOf(answer: Json): {
  readonly keys: readonly string[]
  readonly state: string
  readonly requests: Json
} {
  const requests = at(answer, 'result', 'inputRequests')
  const state = at(answer, 'result', 'requestState')
  if (at(answer, 'result', 'resultType') !== 'input_required' || typeof state !== 'string')
    throw new Error(`nothing was asked: ${JSON.stringify(answer)}`)
  const byKey: Json = { ...Object(requests) }
  return { keys: Object.keys(byKey), state, requests: byKey }
}

export const elicited = (content: Json): Json => ({ action: 'accept', content })
export const sampled = (text: string): Json => ({
  role: 'assistant',
  model: 'm',
  content: { type: 'text', text },
})
export const listed: Json = { roots: [{ uri: 'file:///mine' }] }

/** Answers each question by its kind. */
export function answersTo(answer: Json, say = 'yes'): Json {
  const { requests } = questionsOf(answer)
  const entries = Object.entries(requests).map(([key, request]) => {
    const method = at(request, 'method')
    const response =
      method === 'roots/list'
        ? listed
        : method === 'sampling/createMessage'
          ? sampled(say)
          : elicited({ who: say })
    return [key, response] as const
  })
  return Object.fromEntries(entries)
}

/** The same call again, with the answers. */
export function answerTool(
  url: string,
  name: string,
  first: Json,
  args: Json = {},
  options: CallOptions = {},
  responses: Json = answersTo(first),
): Promise<Json & { readonly status: number }> {
  const { state } = questionsOf(first)
  return callTool(url, name, args, { id: 2, ...options }, { inputResponses: responses, requestState: state })
}

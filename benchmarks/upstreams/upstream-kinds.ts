import type { Workload } from '../load/session.ts'

/** One echo server: what its answers look like. */
export interface EchoServerSettings {
  /** How it answers over HTTP. */
  answer?: 'json' | 'sse'
  /** Filler in every echo. */
  paddingBytes?: number
  toolCount?: number
  /** How many servers its tools are named after, as a gateway in front of so many would name them. */
  namedAfterServers?: number
  /** Answers everything but calls of tools, which it never answers. */
  hangs?: boolean
}

/** The servers behind a path, by name. Each has a process of its own. */
export interface UpstreamSet {
  transport: 'http' | 'stdio'
  servers: Readonly<Record<string, EchoServerSettings>>
}

const mainServer = 'echo'
export const neighbourServer = 'neighbour'
const largeAnswerBytes = 100_000
const listedServers = 10
const listedTools = 200
const toolsEach = listedTools / listedServers

export const upstreamKinds = {
  http: { transport: 'http', servers: { [mainServer]: {} } },
  stdio: { transport: 'stdio', servers: { [mainServer]: {} } },
  sse: { transport: 'http', servers: { [mainServer]: { answer: 'sse' } } },
  large: { transport: 'http', servers: { [mainServer]: { paddingBytes: largeAnswerBytes } } },
  'tools-of-one': {
    transport: 'http',
    servers: { [mainServer]: { toolCount: listedTools, namedAfterServers: listedServers } },
  },
  'tools-of-ten': {
    transport: 'http',
    servers: Object.fromEntries(
      Array.from({ length: listedServers }, (_, index) => [
        listedServerName(index),
        { toolCount: toolsEach },
      ]),
    ),
  },
  'with-neighbour': { transport: 'http', servers: { [mainServer]: {}, [neighbourServer]: {} } },
  'with-hanging': { transport: 'http', servers: { [mainServer]: {}, [neighbourServer]: { hangs: true } } },
} satisfies Record<string, UpstreamSet>

export type UpstreamKind = keyof typeof upstreamKinds

/** What a load asks of these servers, unless it says otherwise. */
export function workloadOf(kind: UpstreamKind): Workload {
  if (kind === 'tools-of-one' || kind === 'tools-of-ten') return { kind: 'tools', toolCount: listedTools }
  return { kind: 'echo', paddingBytes: kind === 'large' ? largeAnswerBytes : 0 }
}

/** Of one length, so that lists of as many tools have as many bytes. */
export function listedServerName(index: number): string {
  return `server${index}`
}

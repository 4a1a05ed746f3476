import { join } from 'node:path'
import { exportJWK, generateKeyPair } from 'jose'
import { type TokenSigning, signToken } from '../load/bearer-token.ts'
import { type Dialect, openSession } from '../load/session.ts'
import { announcedUrl, freePort, launch } from '../measure/launch.ts'
import type { GatewaySettings } from '../sallyport-gateway.ts'
import type { PathRequest, RunningPath } from './path.ts'
import { upstreamKinds, type UpstreamSet, workloadOf } from '../upstreams/upstream-kinds.ts'
import { programArgs } from './programs.ts'
import { peerFolder, peerProgram, programBesidePeers, writePeerFile } from './peers.ts'

export interface StartPathOptions extends PathRequest {
  /** The HTTP upstreams, which speak the era asked for, by the names of their servers; none over stdio. */
  upstreamUrls: Readonly<Record<string, string>>
  instruments?: Instruments
}

/** What is loaded into the process beside its program. */
export interface Instruments {
  /** Where it writes a CPU profile when it is told to. */
  profileFile?: string
  /** Where it writes its live heap when it is told to collect its garbage. */
  collectedFile?: string
}

interface Program {
  args: string[]
  url: string
  aggregatedUrl?: string
  serverUrls?: Record<string, string>
  tokens?: TokenSigning
  dialect: Dialect
  env?: Record<string, string>
  /** Says itself when it serves. */
  announces: boolean
}

const folder = join(import.meta.dirname, '..')
const onlyHttp: ReadonlySet<string> = new Set(['bare-proxy', 'stream-proxy', 'sdk-pair', 'civic'])
const issuer = 'https://issuer.invalid'

/** Starts a path and brings it to its first answer. "direct" has no process of its own and is made by the caller. */
export async function startPath(options: StartPathOptions): Promise<RunningPath> {
  const program = await programOf(options)
  const token = program.tokens && (await signToken(program.tokens, 'first'))
  const firstAnswer = async () => {
    const session = await openSession({
      url: options.upstream === 'tools-of-ten' ? (program.aggregatedUrl ?? program.url) : program.url,
      dialect: program.dialect,
      workload: workloadOf(options.upstream),
      ...(token !== undefined && { token }),
    })
    try {
      const problem = await new Promise<string | undefined>((resolve) => session.call(0, resolve))
      if (problem !== undefined) throw new Error(`the first answer of ${options.name}: ${problem}`)
    } finally {
      await session.close()
    }
  }
  const instrumentation = await instrumentArgs(options.instruments)
  const startedAt = performance.now()
  const launched = await launch({
    name: options.name,
    command: process.execPath,
    args: [...instrumentation, ...program.args],
    env: { ...program.env, ...instrumentEnvironment(options.instruments) },
    async ready(output) {
      if (program.announces) return announcedUrl(output) !== undefined
      // A peer may listen before it is ready to answer, so the first answer is what counts.
      return firstAnswer().then(
        () => true,
        () => false,
      )
    },
  })
  if (program.announces) {
    try {
      await firstAnswer()
    } catch (error) {
      await launched.stop()
      throw error
    }
  }
  return {
    ...program,
    processId: launched.processId,
    startMs: performance.now() - startedAt,
    stop: launched.stop,
  }
}

async function programOf(options: StartPathOptions): Promise<Program> {
  const { name, upstream, era, upstreamUrls, instruments } = options
  const form = instruments?.profileFile === undefined ? 'built' : 'source'
  const dialect = era === 'modern' ? 'stateless' : 'session'
  const port = await freePort()
  const base = `http://127.0.0.1:${port}`
  const { transport, servers }: UpstreamSet = upstreamKinds[upstream]
  const stdioUpstream = [join(folder, 'upstreams', 'raw-stdio.ts'), '--era', era]
  const [upstreamUrl = ''] = Object.values(upstreamUrls)
  if (transport === 'stdio' ? onlyHttp.has(name) : name === 'supergateway')
    throw new Error(`${name} is not made for a ${transport} upstream`)
  switch (name) {
    case 'direct':
      throw new Error('direct is the upstream itself')
    case 'bare-proxy':
    case 'stream-proxy':
      return {
        args: [...(await programArgs(name, form)), String(port), new URL(upstreamUrl).origin],
        url: `${base}/mcp`,
        dialect,
        announces: true,
      }
    case 'sdk-pair':
      return {
        args: [...(await programArgs(name, form)), String(port), upstreamUrl],
        url: `${base}/mcp`,
        dialect,
        announces: true,
      }
    case 'sallyport': {
      const aggregatedUrl = `${base}/mcp`
      const serverUrls = Object.fromEntries(
        Object.keys(servers).map((server) => [server, `${aggregatedUrl}/${server}`]),
      )
      const { publicKey, tokens } = await createTokens([aggregatedUrl, ...Object.values(serverUrls)])
      const settings: GatewaySettings = {
        port,
        servers:
          transport === 'http'
            ? mapValues(upstreamUrls, (url) => ({ url }))
            : mapValues(servers, () => ({ command: process.execPath, args: stdioUpstream })),
        issuer,
        audience: aggregatedUrl,
        publicKey,
      }
      return {
        args: [...(await programArgs(name, form)), JSON.stringify(settings)],
        url: Object.values(serverUrls)[0] ?? aggregatedUrl,
        aggregatedUrl,
        serverUrls,
        tokens,
        dialect,
        announces: true,
      }
    }
    case 'mcp-proxy': {
      // Without what these clients do not use: its event store, its SSE endpoint, and looking for the other era.
      const lean = ['--no-eventStore', '--server', 'stream', ...(era === 'legacy' ? ['--no-modern'] : [])]
      const listen = ['--host', '127.0.0.1', '--port', String(port)]
      return {
        args:
          transport === 'http'
            ? [programBesidePeers('mcp-proxy-http.mjs'), String(port), upstreamUrl]
            : [peerProgram(name), ...lean, ...listen, '--', process.execPath, ...stdioUpstream],
        url: `${base}/mcp`,
        dialect,
        announces: false,
      }
    }
    case 'civic':
      return {
        // It logs every call and has no switch for it.
        args: ['--import', 'data:text/javascript,console.log=console.debug=()=>{}', peerProgram(name)],
        env: { PORT: String(port), TARGET_SERVER_URL: new URL(upstreamUrl).origin },
        url: `${base}/mcp`,
        dialect,
        announces: false,
      }
    case 'supergateway': {
      const command = [process.execPath, ...stdioUpstream].map((word) => `'${word}'`).join(' ')
      const front = ['--outputTransport', 'streamableHttp', '--stateful', '--port', String(port)]
      return {
        args: [peerProgram(name), '--stdio', command, ...front, '--logLevel', 'none'],
        url: `${base}/mcp`,
        dialect,
        announces: false,
      }
    }
    case 'mcp-hub': {
      const mcpServers =
        transport === 'http'
          ? mapValues(upstreamUrls, (url) => ({ url }))
          : mapValues(servers, () => ({ command: process.execPath, args: stdioUpstream }))
      const home = join(peerFolder, 'home')
      return {
        args: [
          peerProgram(name),
          '--port',
          String(port),
          '--config',
          writePeerFile(`mcp-hub.${upstream}.json`, JSON.stringify({ mcpServers })),
        ],
        url: `${base}/mcp`,
        dialect: 'http+sse',
        announces: false,
        // It keeps notes about its workspaces in the home directory.
        env: {
          HOME: home,
          XDG_CONFIG_HOME: home,
          XDG_DATA_HOME: home,
          XDG_STATE_HOME: home,
          XDG_CACHE_HOME: home,
        },
      }
    }
  }
}

async function instrumentArgs({ profileFile, collectedFile }: Instruments = {}): Promise<string[]> {
  return [
    ...(profileFile === undefined ? [] : ['--import', join(folder, 'measure', 'profile-agent.ts')]),
    ...(collectedFile === undefined
      ? []
      : ['--expose-gc', '--import', ...(await programArgs('collect-agent', 'built'))]),
  ]
}

function instrumentEnvironment({ profileFile, collectedFile }: Instruments = {}): Record<string, string> {
  return {
    ...(profileFile !== undefined && { BENCH_PROFILE: profileFile }),
    ...(collectedFile !== undefined && { BENCH_COLLECTED: collectedFile }),
  }
}

function mapValues<T, U>(record: Readonly<Record<string, T>>, change: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]))
}

async function createTokens(audience: string[]) {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
  const named = { kid: 'benchmark', alg: 'RS256', use: 'sig' }
  const tokens: TokenSigning = { key: { ...(await exportJWK(privateKey)), ...named }, issuer, audience }
  return { publicKey: { ...(await exportJWK(publicKey)), ...named }, tokens }
}

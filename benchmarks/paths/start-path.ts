import { join } from 'node:path'
import { exportJWK, generateKeyPair } from 'jose'
import { type TokenSigning, signToken } from '../load/bearer-token.ts'
import { type Dialect, openSession } from '../load/session.ts'
import { announcedUrl, freePort, launch } from '../measure/launch.ts'
import type { GatewaySettings } from '../sallyport-gateway.ts'
import type { PathRequest, RunningPath } from './path.ts'
import { peerFolder, peerProgram, writePeerFile } from './peers.ts'

export interface StartPathOptions extends PathRequest {
  /** The HTTP upstream, which speaks the era asked for. */
  upstreamUrl: string
  /** Where the process writes a CPU profile when it is told to. */
  profileFile?: string
}

interface Program {
  args: string[]
  url: string
  aggregatedUrl?: string
  tokens?: TokenSigning
  dialect: Dialect
  env?: Record<string, string>
  /** Says itself when it serves. */
  announces: boolean
}

const folder = join(import.meta.dirname, '..')
const issuer = 'https://issuer.invalid'

/** Starts a path and brings it to its first answer. "direct" has no process of its own and is made by the caller. */
export async function startPath(options: StartPathOptions): Promise<RunningPath> {
  const program = await programOf(options)
  const token = program.tokens && (await signToken(program.tokens, 'first'))
  const firstSession = () =>
    openSession({
      url: program.url,
      dialect: program.dialect,
      workload: { kind: 'echo', paddingBytes: 0 },
      ...(token !== undefined && { token }),
    })
  const startedAt = performance.now()
  const launched = await launch({
    name: options.name,
    command: process.execPath,
    args: [...profilerArgs(options), ...program.args],
    env: { ...program.env, ...(options.profileFile !== undefined && { BENCH_PROFILE: options.profileFile }) },
    async ready(output) {
      if (program.announces) return announcedUrl(output) !== undefined
      // A peer may listen before it is ready to answer, so the first answer is what counts.
      return firstSession().then(
        (session) => session.close().then(() => true),
        () => false,
      )
    },
  })
  if (program.announces) {
    try {
      await (await firstSession()).close()
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

async function programOf({ name, upstream, era, upstreamUrl }: StartPathOptions): Promise<Program> {
  const dialect = era === 'modern' ? 'stateless' : 'session'
  const port = await freePort()
  const base = `http://127.0.0.1:${port}`
  const stdioUpstream = [join(folder, 'upstreams', 'raw-stdio.ts'), '--era', era]
  if (upstream === 'http' && name !== 'bare-proxy' && name !== 'sallyport')
    throw new Error(`${name} is measured over stdio only`)
  switch (name) {
    case 'direct':
      throw new Error('direct is the upstream itself')
    case 'bare-proxy':
      return {
        args: [join(folder, 'paths', 'bare-proxy.ts'), String(port), new URL(upstreamUrl).origin],
        url: `${base}/mcp`,
        dialect,
        announces: true,
      }
    case 'sallyport': {
      const aggregatedUrl = `${base}/mcp`
      const url = `${aggregatedUrl}/echo`
      const { publicKey, tokens } = await createTokens([aggregatedUrl, url])
      const settings: GatewaySettings = {
        port,
        servers: {
          echo:
            upstream === 'http' ? { url: upstreamUrl } : { command: process.execPath, args: stdioUpstream },
        },
        issuer,
        audience: aggregatedUrl,
        publicKey,
      }
      return {
        args: [
          '--conditions=@sallyport/source',
          join(folder, 'sallyport-gateway.ts'),
          JSON.stringify(settings),
        ],
        url,
        aggregatedUrl,
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
        args: [peerProgram(name), ...lean, ...listen, '--', process.execPath, ...stdioUpstream],
        url: `${base}/mcp`,
        dialect,
        announces: false,
      }
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
      const servers = { mcpServers: { echo: { command: process.execPath, args: stdioUpstream } } }
      const home = join(peerFolder, 'home')
      return {
        args: [
          peerProgram(name),
          '--port',
          String(port),
          '--config',
          writePeerFile('mcp-hub.json', JSON.stringify(servers)),
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

function profilerArgs({ profileFile }: StartPathOptions): string[] {
  return profileFile === undefined ? [] : ['--import', join(folder, 'measure', 'profile-agent.ts')]
}

async function createTokens(audience: string[]) {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
  const named = { kid: 'benchmark', alg: 'RS256', use: 'sig' }
  const tokens: TokenSigning = { key: { ...(await exportJWK(privateKey)), ...named }, issuer, audience }
  return { publicKey: { ...(await exportJWK(publicKey)), ...named }, tokens }
}

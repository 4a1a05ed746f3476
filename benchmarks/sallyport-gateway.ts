import { createServer } from 'node:http'
import { createMemoryAuditRecorder } from '@sallyport/core/memory'
import { allow, createGateway } from '@sallyport/gateway'
import { bearerTokens } from '@sallyport/gateway/auth'
import { nodeHandler } from '@sallyport/gateway/node'
import type { JWK } from 'jose'
import { callerRole } from './load/bearer-token.ts'

/**
 * The process under test: what a host would write, with everything a host would have on. Its settings come as one line
 * of JSON in the first argument.
 */
export interface GatewaySettings {
  port: number
  servers: Record<string, { url: string } | { command: string; args: string[] }>
  issuer: string
  audience: string
  publicKey: JWK
}

const settings: GatewaySettings = JSON.parse(process.argv[2] ?? '{}')
const publicUrl = `http://127.0.0.1:${settings.port}/mcp`

const gateway = createGateway({
  publicUrl,
  servers: settings.servers,
  authenticate: bearerTokens({
    issuer: settings.issuer,
    audience: settings.audience,
    jwks: { keys: [settings.publicKey] },
  }),
  audit: createMemoryAuditRecorder({ capacity: 10_000 }),
  policy: [allow({ role: callerRole, tools: '*/*' })],
})
const server = createServer(nodeHandler(gateway))
server.keepAliveTimeout = 120_000
server.listen(settings.port, '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ url: publicUrl })}\n`)
})
process.once('SIGTERM', () => {
  server.close()
  void gateway.close({ deadlineMs: 1_000 }).finally(() => process.exit())
})

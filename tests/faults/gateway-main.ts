// The gateway of the fault suite: a process of its own, with limits that make faults show soon. Prints one line when it is ready.
import dns from 'node:dns'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { ServerDefinition } from '@sallyport/core'
import { createGateway, type GatewayLimits } from '@sallyport/gateway'
import { nodeHandler } from '@sallyport/gateway/node'

interface Settings {
  readonly servers: Readonly<Record<string, ServerDefinition>>
  readonly limits: Partial<GatewayLimits>
  /** File that says where names under `.test` are now. */
  readonly hostsFile: string
}

const settings: Settings = JSON.parse(process.argv[2] ?? '{}')

// names that move, without a name server: what the operating system would answer is read from a file
const lookup = dns.lookup
Object.assign(dns, {
  lookup: (name: string, ...rest: unknown[]) => {
    const hosts: Record<string, string> = name.endsWith('.test')
      ? JSON.parse(readFileSync(settings.hostsFile, 'utf8'))
      : {}
    return Reflect.apply(lookup, dns, [hosts[name] ?? name, ...rest])
  },
})

const gateway = createGateway({ servers: settings.servers, limits: settings.limits })
const http = createServer(nodeHandler(gateway))
http.listen(0, '127.0.0.1', () => void ready())

async function ready(): Promise<void> {
  await gateway.ready()
  const address = http.address()
  if (typeof address === 'object' && address !== null)
    process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${address.port}/mcp` })}\n`)
}

process.once('SIGTERM', () => void gateway.close({ deadlineMs: 0 }).then(() => process.exit(0)))

// A gateway in front of the servers of an ordinary mcp.json. Over HTTP it prints one line of JSON when it is ready.
import { createServer } from 'node:http'
import { createGateway } from '@sallyport/gateway'
import { nodeHandler } from '@sallyport/gateway/node'
import { serveStdio } from '@sallyport/gateway/stdio'
import { type GatewayArguments, readArguments } from './arguments.ts'
import { explain, openConfigFile } from './config-file.ts'
import { createStderrLogger } from './stderr-logger.ts'

let given: GatewayArguments
try {
  given = readArguments(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${explain(error)}\n`)
  process.exit(2)
}

const logger = createStderrLogger(given.verbose)
let config: ReturnType<typeof openConfigFile>
try {
  config = openConfigFile(given.config, logger)
} catch (error) {
  process.stderr.write(`${explain(error)}\n`)
  process.exit(1)
}

const gateway = createGateway({ servers: config.registry, logger })
await gateway.ready()

if (given.port === undefined) {
  const connection = serveStdio(gateway, { ...(given.server !== undefined && { server: given.server }) })
  void connection.closed.then(() => stop(0))
} else {
  const server = createServer(nodeHandler(gateway))
  server.on('error', (error) => {
    process.stderr.write(`${error.message}\n`)
    void stop(1)
  })
  server.listen(given.port, '127.0.0.1', () => {
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : given.port
    process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}/mcp` })}\n`)
  })
}

let stopping = false
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    // whoever asks twice does not want to wait
    if (stopping) process.exit(code)
    void stop(code === 143 ? 0 : code)
  })
}

async function stop(code: number): Promise<void> {
  stopping = true
  config.close()
  await gateway.close({ deadlineMs: 10_000 })
  process.exit(code)
}

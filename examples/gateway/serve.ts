import { createServer, type Server } from 'node:http'
import { createChildProcessRuntime, createGateway } from '@sallyport/gateway'
import { nodeHandler } from '@sallyport/gateway/node'
import { serveStdio } from '@sallyport/gateway/stdio'
import type { GatewayArguments } from './arguments.ts'
import { explain, openConfigFile } from './config-file.ts'
import { createStderrLogger } from './stderr-logger.ts'

/** Runs the gateway until it is told to stop, or its client on stdio has gone; then ends the process. */
export async function serve(given: GatewayArguments): Promise<void> {
  const logger = createStderrLogger(given.verbose)
  const config = configOrExit(given, logger)
  const runtime = createChildProcessRuntime({ environment: serverEnvironment() })
  const gateway = createGateway({ servers: config.registry, runtime, logger })
  const http = given.port === undefined ? undefined : createServer(nodeHandler(gateway))
  let stoppingSince: number | undefined

  // from here on there are servers to be stopped
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 0],
  ] as const) {
    process.on(signal, () => {
      // whoever asks again does not want to wait; but one Ctrl-C may come twice, from the terminal and from npm
      const patienceMs = signal === 'SIGINT' ? 1_000 : 0
      if (stoppingSince !== undefined && performance.now() - stoppingSince >= patienceMs)
        process.exit(code === 0 ? 143 : code)
      void stop(code)
    })
  }

  // `kill -USR2 <pid>` asks what goes on; on Windows nobody can ask
  process.on('SIGUSR2', () => logger.info('status', { ...gateway.status() }))

  if (http === undefined || given.port === undefined) {
    await gateway.ready()
    const connection = serveStdio(gateway, { ...(given.server !== undefined && { server: given.server }) })
    void connection.closed.then(() => stop(0))
    return
  }
  http.on('error', (error) => {
    const taken = 'code' in error && error.code === 'EADDRINUSE'
    const hint = taken ? `: take another port, or --port 0 for any free one` : ''
    process.stderr.write(`${error.message}${hint}\n`)
    void stop(1)
  })
  const url = await listen(http, given.port)
  logger.info('waiting for the servers to say what they speak', {
    servers: [...(await config.registry.list()).keys()],
  })
  await gateway.ready()
  if (stoppingSince === undefined) process.stdout.write(`${JSON.stringify({ url })}\n`)

  async function stop(code: number): Promise<void> {
    if (stoppingSince !== undefined) return
    stoppingSince = performance.now()
    config.close()
    await gateway.close({ deadlineMs: 10_000 })
    if (http !== undefined) await hangUp(http)
    process.exit(code)
  }
}

/** Servers are started with the PATH of whoever called, not with that of this project's own tools. */
function serverEnvironment(): Readonly<Record<string, string | undefined>> {
  const path = process.env['SALLYPORT_USER_PATH']
  return path === undefined ? process.env : { ...process.env, PATH: path }
}

/** Never resolves if the port cannot be had: that is an event of the server. */
function listen(server: Server, port: number): Promise<string> {
  return new Promise((resolve) => {
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      if (typeof address === 'object' && address !== null) resolve(`http://127.0.0.1:${address.port}/mcp`)
    })
  })
}

/** The last answers may still be on their way out; a client that does not take them is not waited for. */
async function hangUp(server: Server): Promise<void> {
  const closed = new Promise((resolve) => {
    server.close(resolve)
  })
  const timer = setTimeout(() => server.closeAllConnections(), 1_000)
  await closed
  clearTimeout(timer)
}

function configOrExit(
  given: GatewayArguments,
  logger: ReturnType<typeof createStderrLogger>,
): ReturnType<typeof openConfigFile> {
  try {
    return openConfigFile(given.config, { logger, only: given.server })
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`)
    process.exit(1)
  }
}

import { parseArgs } from 'node:util'

export interface GatewayArguments {
  readonly config: string
  /** Absent: standard input and output. */
  readonly port: number | undefined
  readonly server: string | undefined
  readonly verbose: boolean
}

export const usage = `Usage: npm run -s gateway -- --config FILE [--port N | --stdio] [--server NAME] [--verbose]

  --config FILE  a client's mcp.json: the servers to put behind the gateway; read again when it changes
  --port N       listen on this port of the loopback interface (default 0: any free one)
  --stdio        serve one client on standard input and output instead
  --server NAME  with --stdio: this server alone, without prefixes
  --verbose      also say what the servers write to their logs
  --help         this text

SIGUSR2 has it say on standard error what is open, connected and wrong: kill -USR2 <pid>
Exit codes: 0 stopped or told to by SIGTERM, 1 configuration or port cannot be used, 2 wrong arguments, 130 interrupted.`

/** Throws with a text for the user. */
export function readArguments(argv: readonly string[]): GatewayArguments {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      config: { type: 'string' },
      port: { type: 'string' },
      stdio: { type: 'boolean', default: false },
      server: { type: 'string' },
      verbose: { type: 'boolean', default: false },
    },
  })
  const { config, port, stdio, server, verbose } = values
  if (config === undefined) throw new Error(`--config is missing\n\n${usage}`)
  if (stdio && port !== undefined) throw new Error('--port and --stdio exclude each other')
  if (server !== undefined && !stdio)
    throw new Error('--server needs --stdio; over HTTP each server is at <url>/<name>')
  const number = Number(port ?? 0)
  if (!Number.isInteger(number) || number < 0 || number > 65_535)
    throw new Error(`--port ${port}: not a port number`)
  return { config, port: stdio ? undefined : number, server, verbose }
}

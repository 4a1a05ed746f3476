// A gateway in front of the servers of an ordinary mcp.json. Over HTTP it prints one line of JSON when it is ready.
import { enableCompileCache } from 'node:module'
import { type GatewayArguments, readArguments, usage } from './arguments.ts'

// AI clients start a gateway on stdio for every conversation: what is loaded from here on comes from Node's compile cache.
enableCompileCache()

// Relative paths, of the file and in it, start where the user called; servers are started there, as by a client.
const folder = process.env['SALLYPORT_USER_FOLDER']
if (folder !== undefined) process.chdir(folder)

const given = argumentsOrExit(process.argv.slice(2))
const { serve } = await import('./serve.ts')
await serve(given)

function argumentsOrExit(argv: readonly string[]): GatewayArguments {
  if (argv.includes('--help')) {
    process.stdout.write(`${usage}\n`)
    process.exit(0)
  }
  try {
    return readArguments(argv)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\nSee --help.\n`)
    process.exit(2)
  }
}

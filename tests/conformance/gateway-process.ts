import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ServerProcess, startServer } from './processes.ts'

/** As in a client's `mcp.json`. */
export type ServerEntry = { url: string } | { command: string; args: string[] }

const serverName = 'fixture'

/** Starts the gateway in front of one server; `url` is that server alone, under its unprefixed names. */
export async function startGateway(
  main: string,
  server: ServerEntry,
  folder: string,
): Promise<ServerProcess> {
  const configFile = join(folder, 'mcp.json')
  await writeFile(configFile, JSON.stringify({ mcpServers: { [serverName]: server } }, undefined, 2))
  const gateway = await startServer(
    ['--conditions=@sallyport/source', main, '--config', configFile, '--port', '0'],
    join(folder, 'gateway.log'),
  )
  return { url: `${gateway.url}/${serverName}`, stop: () => gateway.stop() }
}

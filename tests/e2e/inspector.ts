import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Place } from './client-kinds.ts'
import { compileCache } from './gateway-process.ts'

export type InspectorEra = 'legacy' | 'auto'

const require = createRequire(import.meta.url)
const inspector = require.resolve('@modelcontextprotocol/inspector/clients/launcher/build/index.js')
const limitMs = 60_000

/** One run of `mcp-inspector --cli`; answers the result it prints, and throws what it complains of. */
export async function runInspector(
  place: Place,
  era: InspectorEra,
  method: readonly string[],
): Promise<Record<string, unknown>> {
  // a home of its own: it keeps state there, and would find that of the person who runs the tests
  const home = await mkdtemp(join(tmpdir(), 'sallyport-inspector-'))
  try {
    const child = spawn(
      process.execPath,
      [inspector, '--cli', ...(await target(place, home)), ...method, '--protocol-era', era, '--quiet'],
      {
        env: { ...process.env, ...compileCache, HOME: home, MCP_INSPECTOR_SECRET_STORE: 'memory' },
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: limitMs,
      },
    )
    const ended = new Promise((resolve) => child.once('close', resolve))
    const [output, complaint] = await Promise.all([text(child.stdout), text(child.stderr)])
    const code = await ended
    if (code !== 0) throw new Error(`inspector, exit code ${String(code)}: ${complaint}`)
    return JSON.parse(output)
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

/** Over stdio by way of a file: on the command line it could not tell its own arguments from the gateway's. */
async function target(place: Place, home: string): Promise<string[]> {
  if ('url' in place) return [place.url, '--transport', 'http']
  const file = join(home, 'session.json')
  const gateway = { command: process.execPath, args: place.args, env: compileCache }
  await writeFile(file, JSON.stringify({ mcpServers: { gateway } }))
  return ['--config', file, '--server', 'gateway']
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { ServerDefinition } from '@sallyport/core'
import type { GatewayLimits } from '@sallyport/gateway'

export interface GatewayProcess {
  readonly pid: number
  /** A server's own endpoint. */
  at(server: string): string
  /** The endpoint of all servers together. */
  readonly url: string
  /** Resident memory in megabytes: now, and at its highest. */
  memory(): { readonly nowMb: number; readonly peakMb: number }
  /** Where a name under `.test` is from now on. */
  moveName(name: string, address: string): void
  kill(): Promise<void>
  stop(): Promise<void>
}

const main = fileURLToPath(new URL('gateway-main.ts', import.meta.url))

export async function startGateway(
  servers: Readonly<Record<string, ServerDefinition>>,
  limits: Partial<GatewayLimits> = {},
  names: Readonly<Record<string, string>> = {},
): Promise<GatewayProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-faults-'))
  const hostsFile = join(folder, 'hosts.json')
  const hosts = { ...names }
  writeFileSync(hostsFile, JSON.stringify(hosts))
  const child = spawn(
    process.execPath,
    ['--conditions=@sallyport/source', main, JSON.stringify({ servers, limits, hostsFile })],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const ended = once(child, 'exit')
  const [line]: unknown[] = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    ended.then(() => ['']),
  ])
  const url = /^\{"url":"(.+)"\}$/.exec(String(line))?.[1]
  if (url === undefined || child.pid === undefined) throw new Error('the gateway did not start')
  const { pid } = child
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  return {
    pid,
    url,
    at: (server) => `${url}/${server}`,
    memory() {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8')
      const mb = (name: string) =>
        Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024)
      return { nowMb: mb('VmRSS'), peakMb: mb('VmHWM') }
    },
    moveName(name, address) {
      hosts[name] = address
      writeFileSync(hostsFile, JSON.stringify(hosts))
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  }
}

/** Processes below this one that have not ended. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((each) => stateOf(each)?.parent === pid)
}

export function isAlive(pid: number): boolean {
  return stateOf(pid) !== undefined
}

function stateOf(pid: number): { parent: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // the name before the closing parenthesis may hold anything (proc(5))
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' || state === 'X' ? undefined : { parent: Number(parent) }
  } catch {
    // it has ended
    return undefined
  }
}

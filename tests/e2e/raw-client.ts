import { createInterface } from 'node:readline'
import { expect, vi } from 'vitest'
import type { Program } from './gateway-process.ts'

export type Message = Readonly<Record<string, unknown>>

/** A legacy client on the standard streams of a program that shows every line it gets. */
export interface RawClient {
  readonly lines: readonly string[]
  send(message: Message): void
  sendLine(line: string): void
  /** Waits for a message of this shape. */
  receives(shape: Message): Promise<void>
  initialize(): Promise<void>
}

const limitMs = 15_000

export function rawClient({ child }: Program): RawClient {
  const lines: string[] = []
  if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => lines.push(line))
  const sendLine = (line: string) => void child.stdin?.write(`${line}\n`)
  const client: RawClient = {
    lines,
    sendLine,
    send: (message) => sendLine(JSON.stringify({ jsonrpc: '2.0', ...message })),
    async receives(shape) {
      const found = () => expect(lines.map(parse)).toContainEqual(expect.objectContaining(shape))
      await vi.waitFor(found, { timeout: limitMs, interval: 10 })
    },
    async initialize() {
      const params = {
        protocolVersion: '2025-11-25',
        capabilities: {},
        clientInfo: { name: 'raw', version: '1.0.0' },
      }
      client.send({ id: 'hello', method: 'initialize', params })
      await client.receives({
        id: 'hello',
        result: expect.objectContaining({ protocolVersion: '2025-11-25' }),
      })
      client.send({ method: 'notifications/initialized' })
    },
  }
  return client
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return line
  }
}

// An MCP server on standard streams, by hand, without any library that would keep it from going wrong. What it does when a tool
// is called stands under the tool's name in stdio-faults.ts; every other tool is answered as it should be.
// Arguments: the era, then what else is wanted: `--log FILE` (a line for every start), `--good-if FILE` (ends at once unless
// that file exists), `--start-ms N` (does nothing for so long).
import { appendFileSync, existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { STDIO_FAULTS } from '../stdio-faults.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    log: { type: 'string' },
    'good-if': { type: 'string' },
    'start-ms': { type: 'string', default: '0' },
  },
})
const [era] = positionals
const complete = era === 'modern' ? { resultType: 'complete' } : {}
const facts = {
  ...complete,
  capabilities: { tools: { listChanged: true } },
  serverInfo: { name: 'faulty', version: '1' },
}
const faults = new Map(STDIO_FAULTS.map((fault) => [fault.that, fault]))

if (values.log !== undefined) appendFileSync(values.log, `${process.pid}\n`)
if (values['good-if'] !== undefined && !existsSync(values['good-if'])) process.exit(3)
await delay(Number(values['start-ms']))

createInterface({ input: process.stdin }).on('line', (line) => {
  const message: { id?: unknown; method?: string; params?: { name?: string } } = JSON.parse(line)
  if (message.id === undefined) return
  const name = message.params?.name ?? ''
  const fault = message.method === 'tools/call' ? faults.get(name) : undefined
  const answer = { jsonrpc: '2.0', id: message.id, ...answerTo(message.method, name) }
  if (fault === undefined) process.stdout.write(`${JSON.stringify(answer)}\n`)
  else void fault.act(answer)
})

function answerTo(method: string | undefined, name: string): object {
  switch (method) {
    case 'server/discover':
      if (era === 'modern') return { result: { ...facts, supportedVersions: ['2026-07-28'] } }
      return { error: { code: -32601, message: 'Method not found' } }
    case 'initialize':
      if (era === 'legacy') return { result: { ...facts, protocolVersion: '2025-11-25' } }
      return { error: { code: -32601, message: 'Method not found' } }
    case 'tools/list':
      return { result: { ...complete, tools: [{ name: 'fine', inputSchema: { type: 'object' } }] } }
    case 'tools/call': {
      const text = name === 'pid' ? String(process.pid) : `did ${name}`
      return { result: { ...complete, content: [{ type: 'text', text }] } }
    }
    default:
      return { error: { code: -32601, message: 'Method not found' } }
  }
}

import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { ServerContext } from '@modelcontextprotocol/server'
import { type FixtureTool, json, noArguments, text } from './fixture-tool.ts'

const longestMs = 600_000
const mostBytes = 256 * 1024 * 1024

/** Our own: what a gateway in front must carry, and what it must not. */
export const probeTools: FixtureTool[] = [
  {
    name: 'echo',
    description: 'Returns its arguments as JSON text',
    inputSchema: { type: 'object', properties: {}, additionalProperties: true },
    call: (call) => json(call.arguments),
  },
  {
    name: 'structured',
    description: 'Returns the sum and the product of two numbers as structured content',
    inputSchema: {
      type: 'object',
      properties: { a: { type: 'number' }, b: { type: 'number' } },
      required: ['a', 'b'],
    },
    outputSchema: {
      type: 'object',
      properties: { sum: { type: 'number' }, product: { type: 'number' } },
      required: ['sum', 'product'],
    },
    call({ arguments: { a, b } }) {
      const result = { sum: Number(a) + Number(b), product: Number(a) * Number(b) }
      return { content: [{ type: 'text', text: JSON.stringify(result) }], structuredContent: result }
    },
  },
  {
    name: 'slow',
    description:
      'Reports progress 0, then waits; if it is cancelled first, that is recorded under the given key',
    inputSchema: {
      type: 'object',
      properties: { ms: { type: 'integer', minimum: 0, maximum: longestMs }, key: { type: 'string' } },
      required: ['ms'],
    },
    async call({ arguments: { ms, key = '' }, context, state }) {
      const startedAt = performance.now()
      const { signal } = context.mcpReq
      await tellStarted(context)
      try {
        await delay(Number(ms), undefined, { signal })
      } catch (error) {
        state.cancellations.push({ key: String(key), afterMs: Math.round(performance.now() - startedAt) })
        throw error
      }
      return text(`waited ${String(ms)} ms`)
    },
  },
  {
    name: 'cancellations',
    description: 'Lists the slow calls that were cancelled',
    inputSchema: noArguments,
    call: ({ state }) => json(state.cancellations),
  },
  {
    name: 'hang',
    description: 'Reports progress 0, then never answers; ends only when it is cancelled',
    inputSchema: noArguments,
    async call({ context }) {
      await tellStarted(context)
      if (!context.mcpReq.signal.aborted) await once(context.mcpReq.signal, 'abort')
      return text('cancelled')
    },
  },
  {
    name: 'progress',
    description: 'Sends the given number of progress notifications, one every intervalMs',
    inputSchema: {
      type: 'object',
      properties: { n: { type: 'integer', minimum: 0 }, intervalMs: { type: 'integer', minimum: 0 } },
      required: ['n'],
    },
    async call({ arguments: { n, intervalMs = 0 }, context }) {
      const progressToken = context.mcpReq._meta?.progressToken
      const total = Number(n)
      for (let progress = 1; progress <= total && progressToken !== undefined; progress += 1) {
        await context.mcpReq.notify({
          method: 'notifications/progress',
          params: { progressToken, progress, total },
        })
        if (Number(intervalMs) > 0)
          await delay(Number(intervalMs), undefined, { signal: context.mcpReq.signal })
      }
      return text(`token=${JSON.stringify(progressToken ?? null)}`)
    },
  },
  {
    name: 'big',
    description: 'Returns the given number of bytes of text',
    inputSchema: {
      type: 'object',
      properties: { bytes: { type: 'integer', minimum: 0, maximum: mostBytes } },
      required: ['bytes'],
    },
    call: ({ arguments: { bytes } }) => text('x'.repeat(Number(bytes))),
  },
  {
    name: 'environment',
    description: 'Lists the names of the environment variables of this process, never their values',
    inputSchema: noArguments,
    call: () => json(Object.keys(process.env).toSorted()),
  },
  {
    name: 'received',
    description: 'Shows the HTTP headers of this very request and, with all, of those before it',
    inputSchema: { type: 'object', properties: { all: { type: 'boolean' } } },
    call({ arguments: { all = false }, context, state }) {
      if (state.transport === 'stdio') return json({ transport: 'stdio' })
      const headers = Object.fromEntries(context.http?.req?.headers ?? [])
      return json({ transport: 'http', headers, ...(all === true && { requests: state.received }) })
    },
  },
  {
    name: 'process',
    description: 'Shows the process id and how long the process has been up: equal ids mean a shared process',
    inputSchema: noArguments,
    call: () => json({ pid: process.pid, uptimeMs: Math.round(process.uptime() * 1000) }),
  },
  {
    name: 'exit',
    description: 'Ends a stdio process without an answer, as a crash would',
    inputSchema: { type: 'object', properties: { code: { type: 'integer', minimum: 0, maximum: 255 } } },
    call({ arguments: { code = 1 }, state }) {
      if (state.transport === 'http') throw new Error('exit is offered over stdio only')
      process.exit(Number(code))
    },
  },
]

/** For a caller with a progress token: from now on there is something to cancel. */
async function tellStarted(context: ServerContext): Promise<void> {
  const progressToken = context.mcpReq._meta?.progressToken
  if (progressToken === undefined) return
  await context.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 0 } })
}

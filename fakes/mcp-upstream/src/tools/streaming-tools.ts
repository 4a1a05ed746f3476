import { setTimeout as delay } from 'node:timers/promises'
import { type FixtureTool, noArguments, text } from './fixture-tool.ts'

const stepMs = 20

/** Tools that send something before their result, or act on the stream that carries it. */
export const streamingTools: FixtureTool[] = [
  {
    name: 'test_tool_with_logging',
    description: 'Sends three log messages while it runs',
    inputSchema: noArguments,
    async call({ context }) {
      await context.mcpReq.log('info', 'Tool execution started')
      await delay(stepMs)
      await context.mcpReq.log('info', 'Tool processing data')
      await delay(stepMs)
      await context.mcpReq.log('info', 'Tool execution completed')
      return text('Tool with logging executed successfully')
    },
  },
  {
    name: 'test_tool_with_progress',
    description: 'Reports progress 0, 50 and 100 of 100 when the caller sent a progress token',
    inputSchema: noArguments,
    async call({ context }) {
      const progressToken = context.mcpReq._meta?.progressToken
      if (progressToken !== undefined) {
        for (const progress of [0, 50, 100]) {
          await context.mcpReq.notify({
            method: 'notifications/progress',
            params: { progressToken, progress, total: 100, message: `Completed step ${progress} of 100` },
          })
          await delay(stepMs)
        }
      }
      return text(`token=${JSON.stringify(progressToken ?? null)}`)
    },
  },
  {
    name: 'test_logging_tool',
    description: 'Logs once; on modern requests that is delivered only if the request asked for a level',
    inputSchema: noArguments,
    async call({ context }) {
      await context.mcpReq.log('info', 'delivered only to a caller that set a log level')
      return text('logged')
    },
  },
  {
    name: 'test_streaming_elicitation',
    description: 'Completes without asking the client anything, whatever it could ask',
    inputSchema: noArguments,
    call: () => text('nothing but the result was sent'),
  },
  {
    name: 'test_reconnection',
    description: 'Closes the event stream of its own call, and answers once the client may have come back',
    inputSchema: noArguments,
    async call({ context }) {
      // Absent where there is nothing to close: stdio, modern HTTP, and clients older than 2025-11-25.
      context.http?.closeSSE?.()
      await delay(100)
      return text('answered after the stream had been closed')
    },
  },
]

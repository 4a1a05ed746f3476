import type {
  CallToolResult,
  InputRequiredResult,
  JsonSchemaType,
  RequestStateCodec,
  ServerContext,
} from '@modelcontextprotocol/server'
import type { UpstreamState } from '../upstream-state.ts'

/** Sealed into `requestState` between the rounds of a multi-round call. */
export interface RoundState {
  tool: string
  round: number
  name?: string
}

export interface ToolCall {
  arguments: Record<string, unknown>
  context: ServerContext
  /** As declared by the client: on this request (modern) or at initialize (legacy). */
  clientCapabilities: object
  state: UpstreamState
  requestStates: RequestStateCodec<RoundState>
}

type Outcome = CallToolResult | InputRequiredResult

export interface FixtureTool {
  name: string
  description: string
  inputSchema: JsonSchemaType
  outputSchema?: JsonSchemaType
  call(call: ToolCall): Outcome | Promise<Outcome>
}

export const noArguments: JsonSchemaType = { type: 'object', properties: {} }

export function text(value: string): CallToolResult {
  return { content: [{ type: 'text', text: value }] }
}

export function json(value: unknown): CallToolResult {
  return text(JSON.stringify(value))
}

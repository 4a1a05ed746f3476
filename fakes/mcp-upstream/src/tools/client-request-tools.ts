import {
  type CallToolResult,
  type InputRequest,
  type InputRequiredResult,
  inputRequired,
  inputResponse,
} from '@modelcontextprotocol/server'
import { type FixtureTool, noArguments, text, type ToolCall } from './fixture-tool.ts'

/**
 * Tools that need something from the client. Each is written once: toward a modern client the SDK returns the
 * question as an `input_required` result, toward a legacy client it sends a real request and calls the tool again.
 */
export const clientRequestTools: FixtureTool[] = [
  {
    name: 'test_sampling',
    description: "Asks the client's model to answer a prompt",
    inputSchema: { type: 'object', properties: { prompt: { type: 'string' } }, required: ['prompt'] },
    call(call) {
      const answer = inputResponse(call.context.mcpReq.inputResponses, 'completion')
      if (answer.kind !== 'sampling') return ask({ completion: sample(String(call.arguments.prompt), 100) })
      return text(`LLM response: ${JSON.stringify(answer.result.content)}`)
    },
  },
  {
    name: 'test_elicitation',
    description: 'Asks the user for a name and an address',
    inputSchema: { type: 'object', properties: { message: { type: 'string' } }, required: ['message'] },
    call: (call) =>
      elicitOnce(
        call,
        inputRequired.elicit({
          message: String(call.arguments.message),
          requestedSchema: {
            type: 'object',
            properties: {
              username: { type: 'string', description: "User's response" },
              email: { type: 'string', description: "User's email address" },
            },
            required: ['username', 'email'],
          },
        }),
      ),
  },
  {
    name: 'test_elicitation_sep1034_defaults',
    description: 'Asks with a default value for every primitive type',
    inputSchema: noArguments,
    call: (call) =>
      elicitOnce(
        call,
        inputRequired.elicit({
          message: 'Please check the values that are filled in',
          requestedSchema: {
            type: 'object',
            properties: {
              name: { type: 'string', description: 'User name', default: 'John Doe' },
              age: { type: 'integer', description: 'User age', default: 30 },
              score: { type: 'number', description: 'User score', default: 95.5 },
              status: {
                type: 'string',
                description: 'User status',
                enum: ['active', 'inactive', 'pending'],
                default: 'active',
              },
              verified: { type: 'boolean', description: 'Verification status', default: true },
            },
            required: [],
          },
        }),
      ),
  },
  {
    name: 'test_elicitation_sep1330_enums',
    description: 'Asks with each of the five ways to write an enumeration',
    inputSchema: noArguments,
    call: (call) =>
      elicitOnce(
        call,
        inputRequired.elicit({
          message: 'Please choose',
          requestedSchema: {
            type: 'object',
            properties: {
              untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
              titledSingle: {
                type: 'string',
                oneOf: [
                  { const: 'value1', title: 'First Option' },
                  { const: 'value2', title: 'Second Option' },
                  { const: 'value3', title: 'Third Option' },
                ],
              },
              legacyEnum: {
                type: 'string',
                enum: ['opt1', 'opt2', 'opt3'],
                enumNames: ['Option One', 'Option Two', 'Option Three'],
              },
              untitledMulti: {
                type: 'array',
                minItems: 1,
                maxItems: 3,
                items: { type: 'string', enum: ['option1', 'option2', 'option3'] },
              },
              titledMulti: {
                type: 'array',
                minItems: 1,
                maxItems: 3,
                items: {
                  anyOf: [
                    { const: 'value1', title: 'First Choice' },
                    { const: 'value2', title: 'Second Choice' },
                    { const: 'value3', title: 'Third Choice' },
                  ],
                },
              },
            },
            required: [],
          },
        }),
      ),
  },
  {
    name: 'test_missing_capability',
    description: 'Cannot run for a client that did not declare sampling',
    inputSchema: noArguments,
    async call(call) {
      if (isLegacy(call)) return askWithoutLooking(call)
      const answer = inputResponse(call.context.mcpReq.inputResponses, 'completion')
      if (answer.kind !== 'sampling') return ask({ completion: sample('Reply with one word', 16) })
      return text('the client answered')
    },
  },
]

/** In the legacy era requests have no envelope. */
function isLegacy({ context }: ToolCall): boolean {
  return context.mcpReq.envelope === undefined
}

/** As many legacy servers do: they do not look at what the client declared, and fail when it refuses. */
async function askWithoutLooking({ context }: ToolCall): Promise<CallToolResult> {
  const question = {
    messages: [{ role: 'user' as const, content: { type: 'text' as const, text: 'Reply with one word' } }],
    maxTokens: 16,
  }
  const answer = await context.mcpReq.send({ method: 'sampling/createMessage', params: question })
  return text(`LLM response: ${JSON.stringify(answer.content)}`)
}

export function ask(inputRequests: Record<string, InputRequest>, requestState?: string): InputRequiredResult {
  return inputRequired({ inputRequests, ...(requestState !== undefined && { requestState }) })
}

export function sample(prompt: string, maxTokens: number): InputRequest {
  return inputRequired.createMessage({
    messages: [{ role: 'user', content: { type: 'text', text: prompt } }],
    maxTokens,
  })
}

function elicitOnce(call: ToolCall, question: InputRequest): CallToolResult | InputRequiredResult {
  const answer = inputResponse(call.context.mcpReq.inputResponses, 'answer')
  if (answer.kind !== 'elicit') return ask({ answer: question })
  return text(`User response: action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`)
}

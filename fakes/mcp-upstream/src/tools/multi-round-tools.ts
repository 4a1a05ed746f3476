import {
  type InputRequest,
  type InputRequiredResult,
  inputRequired,
  inputResponse,
} from '@modelcontextprotocol/server'
import { ask, sample } from './client-request-tools.ts'
import { type FixtureTool, noArguments, text, type ToolCall } from './fixture-tool.ts'

/** Multi-round calls (2026-07-28, basic/patterns/mrtr), under the names of the conformance suite. */
export const multiRoundTools: FixtureTool[] = [
  {
    name: 'test_input_required_result_elicitation',
    description: 'Greets by a name it asks for',
    inputSchema: noArguments,
    call(call) {
      const name = answerText(call, 'user_name', 'name')
      return name === undefined
        ? ask({ user_name: askFor('name', 'What is your name?') })
        : text(`Hello, ${name}!`)
    },
  },
  {
    name: 'test_input_required_result_sampling',
    description: "Passes a question on to the client's model",
    inputSchema: noArguments,
    call(call) {
      const answer = inputResponse(call.context.mcpReq.inputResponses, 'capital_question')
      if (answer.kind !== 'sampling')
        return ask({ capital_question: sample('What is the capital of France?', 100) })
      return text(`The model said ${JSON.stringify(answer.result.content)}`)
    },
  },
  {
    name: 'test_input_required_result_list_roots',
    description: 'Says which roots the client has',
    inputSchema: noArguments,
    call(call) {
      const answer = inputResponse(call.context.mcpReq.inputResponses, 'client_roots')
      if (answer.kind !== 'roots') return ask({ client_roots: inputRequired.listRoots() })
      return text(`Roots: ${answer.roots.map((root) => root.uri).join(', ')}`)
    },
  },
  {
    name: 'test_input_required_result_request_state',
    description: 'Completes only if its sealed state came back unchanged',
    inputSchema: noArguments,
    call: (call) => confirmWithState(call, 'request_state', 'state-ok'),
  },
  {
    name: 'test_input_required_result_tampered_state',
    description: 'As the one above: a changed state is refused before the tool runs',
    inputSchema: noArguments,
    call: (call) => confirmWithState(call, 'tampered_state', 'integrity-ok'),
  },
  {
    name: 'test_input_required_result_multiple_inputs',
    description: 'Asks for a name, a greeting and the roots in one round',
    inputSchema: noArguments,
    async call(call) {
      const responses = call.context.mcpReq.inputResponses
      const name = answerText(call, 'user_name', 'name')
      const greeting = inputResponse(responses, 'greeting')
      const roots = inputResponse(responses, 'client_roots')
      if (name !== undefined && greeting.kind === 'sampling' && roots.kind === 'roots') {
        return text(`${JSON.stringify(greeting.result.content)} ${name}, ${roots.roots.length} root(s)`)
      }
      return ask(
        {
          user_name: askFor('name', 'What is your name?'),
          greeting: sample('Generate a greeting', 50),
          client_roots: inputRequired.listRoots(),
        },
        await call.requestStates.mint({ tool: 'multiple_inputs', round: 1 }),
      )
    },
  },
  {
    name: 'test_input_required_result_multi_round',
    description: 'Asks twice, and keeps the first answer in its sealed state',
    inputSchema: noArguments,
    async call(call) {
      const state = roundState(call, 'multi_round')
      if (state === undefined) {
        return ask(
          { step1: askFor('name', 'Step 1: What is your name?') },
          await call.requestStates.mint({ tool: 'multi_round', round: 1 }),
        )
      }
      if (state.round === 1) {
        const name = answerText(call, 'step1', 'name') ?? 'nobody'
        return ask(
          { step2: askFor('color', 'Step 2: What is your favorite color?') },
          await call.requestStates.mint({ tool: 'multi_round', round: 2, name }),
        )
      }
      return text(`${state.name} likes ${answerText(call, 'step2', 'color') ?? 'no color'}`)
    },
  },
  {
    name: 'test_input_required_result_capabilities',
    description: 'Asks only for what the client said it can answer',
    inputSchema: noArguments,
    call(call) {
      if (call.context.mcpReq.inputResponses !== undefined) return text('the client answered')
      const questions: Record<string, InputRequest> = {
        ...('elicitation' in call.clientCapabilities && { user_name: askFor('name', 'What is your name?') }),
        ...('sampling' in call.clientCapabilities && { greeting: sample('Generate a greeting', 50) }),
        ...('roots' in call.clientCapabilities && { client_roots: inputRequired.listRoots() }),
      }
      return Object.keys(questions).length === 0 ? text('the client can answer nothing') : ask(questions)
    },
  },
]

export function askFor(field: string, message: string): InputRequest {
  return inputRequired.elicit({
    message,
    requestedSchema: { type: 'object', properties: { [field]: { type: 'string' } }, required: [field] },
  })
}

function answerText(call: ToolCall, key: string, field: string): string | undefined {
  const answer = inputResponse(call.context.mcpReq.inputResponses, key)
  const value = answer.kind === 'elicit' && answer.action === 'accept' ? answer.content?.[field] : undefined
  return typeof value === 'string' ? value : undefined
}

async function confirmWithState(
  call: ToolCall,
  tool: string,
  done: string,
): Promise<InputRequiredResult | ReturnType<typeof text>> {
  const answer = inputResponse(call.context.mcpReq.inputResponses, 'confirm')
  if (answer.kind === 'elicit' && roundState(call, tool) !== undefined) return text(done)
  const question = inputRequired.elicit({
    message: 'Please confirm',
    requestedSchema: { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] },
  })
  return ask({ confirm: question }, await call.requestStates.mint({ tool, round: 1 }))
}

/** The state as the codec verified it; a state that belongs to another tool counts as none. */
function roundState(call: ToolCall, tool: string) {
  const state = call.context.mcpReq.requestState<{ tool: string; round: number; name?: string }>()
  return state?.tool === tool ? state : undefined
}

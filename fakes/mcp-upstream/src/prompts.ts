import {
  fromJsonSchema,
  type GetPromptResult,
  type InputRequiredResult,
  inputResponse,
  type McpServer,
  type Prompt,
  type ServerContext,
} from '@modelcontextprotocol/server'
import { samplePng } from './media-samples.ts'
import { ask } from './tools/client-request-tools.ts'
import { askFor } from './tools/multi-round-tools.ts'

interface FixturePrompt {
  name: string
  description: string
  arguments: { name: string; description: string }[]
  get(values: Record<string, string>, context: ServerContext): GetPromptResult | InputRequiredResult
}

const fixturePrompts: FixturePrompt[] = [
  {
    name: 'test_simple_prompt',
    description: 'A prompt without arguments',
    arguments: [],
    get: () => user({ type: 'text', text: 'This is a simple prompt for testing.' }),
  },
  {
    name: 'test_prompt_with_arguments',
    description: 'A prompt that repeats its two arguments',
    arguments: [
      { name: 'arg1', description: 'First test argument' },
      { name: 'arg2', description: 'Second test argument' },
    ],
    get: ({ arg1, arg2 }) =>
      user({ type: 'text', text: `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'` }),
  },
  {
    name: 'test_prompt_with_embedded_resource',
    description: 'A prompt that embeds the resource it is given',
    arguments: [{ name: 'resourceUri', description: 'URI of the resource to embed' }],
    get: ({ resourceUri = '' }) =>
      user(
        {
          type: 'resource',
          resource: {
            uri: resourceUri,
            mimeType: 'text/plain',
            text: 'Embedded resource content for testing.',
          },
        },
        { type: 'text', text: 'Please process the embedded resource above.' },
      ),
  },
  {
    name: 'test_prompt_with_image',
    description: 'A prompt with an image',
    arguments: [],
    get: () =>
      user(
        { type: 'image', data: samplePng, mimeType: 'image/png' },
        { type: 'text', text: 'Please analyze the image above.' },
      ),
  },
  {
    name: 'test_input_required_result_prompt',
    description: 'A prompt that asks the user for its context first',
    arguments: [],
    get(_values, context) {
      const answer = inputResponse(context.mcpReq.inputResponses, 'user_context')
      if (answer.kind !== 'elicit')
        return ask({ user_context: askFor('context', 'What context should the prompt use?') })
      return user({ type: 'text', text: `Use the following context: ${String(answer.content?.context)}` })
    },
  },
]

/** The values `completion/complete` chooses from, whatever is being completed. */
const completions = ['paris', 'park', 'party', 'berlin', 'bern', 'rome']

export function registerPrompts(server: McpServer): void {
  for (const prompt of fixturePrompts) {
    const { name, description } = prompt
    if (prompt.arguments.length === 0) {
      server.registerPrompt(name, { description }, (context) => prompt.get({}, context))
      continue
    }
    const argsSchema = fromJsonSchema<Record<string, string>>({
      type: 'object',
      properties: Object.fromEntries(
        prompt.arguments.map((argument) => [
          argument.name,
          { type: 'string', description: argument.description },
        ]),
      ),
      required: prompt.arguments.map((argument) => argument.name),
    })
    server.registerPrompt(name, { description, argsSchema }, (values, context) => prompt.get(values, context))
  }
  server.server.setRequestHandler('completion/complete', (request) => {
    const values = completions.filter((value) => value.startsWith(request.params.argument.value))
    return { completion: { values, total: values.length, hasMore: false } }
  })
}

export function promptDefinitions(): Prompt[] {
  return fixturePrompts.map(({ name, description, arguments: named }) => ({
    name,
    description,
    ...(named.length > 0 && { arguments: named.map((argument) => ({ ...argument, required: true })) }),
  }))
}

function user(...contents: GetPromptResult['messages'][number]['content'][]): GetPromptResult {
  return { messages: contents.map((content) => ({ role: 'user', content })) }
}

import { randomBytes } from 'node:crypto'
import {
  CLIENT_CAPABILITIES_META_KEY,
  createRequestStateCodec,
  fromJsonSchema,
  isSpecType,
  McpServer,
  type RequestStateCodec,
  type ServerContext,
  type Tool,
} from '@modelcontextprotocol/server'
import { pageOf } from './pagination.ts'
import { promptDefinitions, registerPrompts } from './prompts.ts'
import { registerResources, resourceDefinitions, resourceTemplateDefinitions } from './resources.ts'
import { changeTools } from './tools/change-tools.ts'
import { clientRequestTools } from './tools/client-request-tools.ts'
import { contentTools } from './tools/content-tools.ts'
import type { FixtureTool, RoundState } from './tools/fixture-tool.ts'
import { multiRoundTools } from './tools/multi-round-tools.ts'
import { probeTools } from './tools/probe-tools.ts'
import { streamingTools } from './tools/streaming-tools.ts'
import type { UpstreamState } from './upstream-state.ts'

const fixtureTools: FixtureTool[] = [
  ...contentTools,
  ...streamingTools,
  ...clientRequestTools,
  ...multiRoundTools,
  ...changeTools,
  ...probeTools,
]

export interface FixtureServerOptions {
  state: UpstreamState
  /** Name the server gives itself; tells two fixtures behind one gateway apart. */
  name: string
  /** Lists come in pages of this many; absent: in one piece. */
  pageSize?: number
}

/** Builds one server instance after another over the same state and the same sealing key. */
export function createServerFactory(options: FixtureServerOptions): () => McpServer {
  const requestStates = createRequestStateCodec<RoundState>({ key: randomBytes(32) })
  return () => buildServer(options, requestStates)
}

function buildServer(options: FixtureServerOptions, requestStates: RequestStateCodec<RoundState>): McpServer {
  const { state, name, pageSize } = options
  const server = new McpServer(
    { name, version: '1.0.0' },
    {
      instructions: `The tools of ${name} exist to be tested with.`,
      capabilities: {
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { listChanged: true, subscribe: true },
        logging: {},
        completions: {},
      },
      requestState: { verify: (sealed, context) => requestStates.verify(sealed, context) },
    },
  )
  for (const tool of offered(state)) registerTool(server, tool, state, requestStates)
  state.whenToolAdded(server, (tool) => registerTool(server, tool, state, requestStates))
  registerResources(server, state)
  registerPrompts(server)
  if (pageSize !== undefined) paginate(server, state, pageSize)
  return server
}

function offered(state: UpstreamState): FixtureTool[] {
  return [...fixtureTools, ...state.addedTools]
}

function registerTool(
  server: McpServer,
  tool: FixtureTool,
  state: UpstreamState,
  requestStates: RequestStateCodec<RoundState>,
): void {
  const { name, description, inputSchema, outputSchema } = tool
  server.registerTool(
    name,
    {
      description,
      inputSchema: fromJsonSchema<Record<string, unknown>>(inputSchema),
      ...(outputSchema && { outputSchema: fromJsonSchema<Record<string, unknown>>(outputSchema) }),
    },
    async (values, context) =>
      tool.call({
        arguments: values,
        context,
        clientCapabilities: declaredOn(context) ?? server.server.getClientCapabilities() ?? {},
        state,
        requestStates,
      }),
  )
}

/** What a modern request itself declares. The SDK types the envelope without its keys. */
function declaredOn(context: ServerContext): object | undefined {
  const envelope: [string, unknown][] = Object.entries(context.mcpReq.envelope ?? {})
  const declared = envelope.find(([key]) => key === CLIENT_CAPABILITIES_META_KEY)?.[1]
  return typeof declared === 'object' && declared !== null ? declared : undefined
}

function paginate(server: McpServer, state: UpstreamState, pageSize: number): void {
  const { server: protocol } = server
  protocol.setRequestHandler('tools/list', (request) => {
    const { page, ...rest } = pageOf(toolDefinitions(state), request.params?.cursor, pageSize)
    return { tools: page, ...rest }
  })
  protocol.setRequestHandler('prompts/list', (request) => {
    const { page, ...rest } = pageOf(promptDefinitions(), request.params?.cursor, pageSize)
    return { prompts: page, ...rest }
  })
  protocol.setRequestHandler('resources/list', (request) => {
    const { page, ...rest } = pageOf(resourceDefinitions(), request.params?.cursor, pageSize)
    return { resources: page, ...rest }
  })
  protocol.setRequestHandler('resources/templates/list', (request) => {
    const { page, ...rest } = pageOf(resourceTemplateDefinitions(), request.params?.cursor, pageSize)
    return { resourceTemplates: page, ...rest }
  })
}

/** Through the SDK's own guard: a schema as written here and a schema as listed are two types to TypeScript. */
function toolDefinitions(state: UpstreamState): Tool[] {
  const definitions: unknown[] = offered(state).map((tool) => ({ ...tool, call: undefined }))
  return definitions.filter(isSpecType.Tool)
}

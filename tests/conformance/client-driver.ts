/**
 * The client that the suite's client scenarios measure: an SDK client that does what the scenario named in the
 * environment wants to see done. With `--gateway FILE` it starts the gateway and reaches the suite's server through it,
 * so that what is measured is the gateway's client side.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  Client,
  type ClientOptions,
  SdkError,
  SdkErrorCode,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client'
import { startGateway } from './gateway-process.ts'

const { values, positionals } = parseArgs({
  options: { gateway: { type: 'string' } },
  allowPositionals: true,
})
const serverUrl = positionals[0]
const scenario = process.env.MCP_CONFORMANCE_SCENARIO ?? ''
const isModern = process.env.MCP_CONFORMANCE_PROTOCOL_VERSION === '2026-07-28'

const scenarios: Record<string, (url: string) => Promise<void>> = {
  initialize: listTools,
  tools_call: addNumbers,
  'request-metadata': (url) =>
    withClient(url, { roots: { listChanged: true }, sampling: {}, elicitation: {} }, () => Promise.resolve()),
  'elicitation-sep1034-client-defaults': acceptDefaults,
  'sse-retry': (url) => callTools(url, [{ name: 'test_reconnection', arguments: {} }]),
  'sep-2322-client-request-state': answerRounds,
  'http-standard-headers': visitEverything,
  'http-custom-headers': (url) => callTools(url, callsOfContext()),
  'http-invalid-tool-headers': callWhatIsListed,
  'json-schema-ref-no-deref': listTools,
  'json-schema-2020-12-preservation': echoSchema,
}

const run = scenarios[scenario]
if (serverUrl === undefined || run === undefined) {
  throw new Error(`No client for the scenario ${JSON.stringify(scenario)} at ${serverUrl}`)
}
await (values.gateway === undefined ? run(serverUrl) : throughGateway(values.gateway, serverUrl, run))

async function throughGateway(
  main: string,
  url: string,
  drive: (url: string) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'conformance-client-'))
  const gateway = await startGateway(main, { url }, folder)
  try {
    await drive(gateway.url)
  } finally {
    await gateway.stop()
    await rm(folder, { recursive: true })
  }
}

async function withClient(
  url: string,
  capabilities: NonNullable<ClientOptions['capabilities']>,
  use: (client: Client) => Promise<void>,
): Promise<void> {
  const client = new Client(
    { name: 'conformance-driver', version: '1.0.0' },
    { capabilities, versionNegotiation: { mode: isModern ? 'auto' : 'legacy' } },
  )
  if ('elicitation' in capabilities) {
    const content = scenario === 'elicitation-sep1034-client-defaults' ? {} : { confirmed: true }
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content }))
  }
  await client.connect(new StreamableHTTPClientTransport(new URL(url)))
  try {
    await use(client)
  } finally {
    await client.close()
  }
}

function listTools(url: string): Promise<void> {
  return withClient(url, {}, async (client) => {
    await client.listTools()
  })
}

function addNumbers(url: string): Promise<void> {
  return callTools(url, [{ name: 'add_numbers', arguments: { a: 5, b: 3 } }])
}

interface ToolCall {
  name: string
  arguments: Record<string, unknown>
}

/** Lists first: a client mirrors arguments into headers only when it has seen the tool's schema. */
function callTools(
  url: string,
  calls: ToolCall[],
  capabilities: ClientOptions['capabilities'] = {},
): Promise<void> {
  return withClient(url, capabilities, async (client) => {
    await client.listTools()
    for (const call of calls) await client.callTool(call)
  })
}

/** The user accepts without filling anything in; the client must add the defaults. */
function acceptDefaults(url: string): Promise<void> {
  const calls = [{ name: 'test_client_elicitation_defaults', arguments: {} }]
  return callTools(url, calls, { elicitation: { form: { applyDefaults: true } } })
}

function answerRounds(url: string): Promise<void> {
  return withClient(url, { elicitation: {} }, async (client) => {
    await client.listTools()
    for (const name of ['test_mrtr_echo_state', 'test_mrtr_no_state', 'test_mrtr_unrelated']) {
      await client.callTool({ name, arguments: {} })
    }
    // The scenario wants a result without resultType not to be taken for a question. The SDK refuses such a result of
    // a modern server altogether, which the scenario accepts.
    await client.callTool({ name: 'test_mrtr_no_result_type', arguments: {} }).catch((error: unknown) => {
      if (!(error instanceof SdkError && error.code === SdkErrorCode.InvalidResult)) throw error
    })
  })
}

function visitEverything(url: string): Promise<void> {
  return withClient(url, {}, async (client) => {
    for (const { name } of (await client.listTools()).tools) await client.callTool({ name, arguments: {} })
    for (const { uri } of (await client.listResources()).resources) await client.readResource({ uri })
    for (const { name } of (await client.listPrompts()).prompts) await client.getPrompt({ name })
  })
}

function callWhatIsListed(url: string): Promise<void> {
  return withClient(url, {}, async (client) => {
    for (const { name } of (await client.listTools()).tools) {
      await client.callTool({ name, arguments: { region: 'us-west1' } })
    }
  })
}

function echoSchema(url: string): Promise<void> {
  return withClient(url, {}, async (client) => {
    const { tools } = await client.listTools()
    const schema = tools.find((tool) => tool.name === 'json_schema_2020_12_tool')?.inputSchema
    await client.callTool({ name: 'json_schema_echo', arguments: { schema } })
  })
}

function callsOfContext(): ToolCall[] {
  const context: unknown = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}')
  if (typeof context !== 'object' || context === null || !('toolCalls' in context)) return []
  return Array.isArray(context.toolCalls) ? context.toolCalls : []
}

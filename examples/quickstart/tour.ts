import type { Client } from '@modelcontextprotocol/client'
import type { MemoryAuditRecorder } from '@sallyport/core/memory'
import { brief, say } from './terminal.ts'

export interface Tour {
  readonly client: Client
  readonly audit: MemoryAuditRecorder
  readonly servers: readonly string[]
  readonly folder: string
}

interface Stop {
  /** The server that should answer. */
  readonly server: string
  readonly method: string
  readonly target: string
  /** Answers what came back, as text. */
  readonly visit: () => Promise<string>
  /** Has to be in it. */
  readonly expected: string
}

const timeoutMs = 20_000

/** Uses every server through the one endpoint and shows what came back. Throws at the first thing that is not as it should be. */
export async function takeTour(tour: Tour): Promise<void> {
  const { client, servers } = tour
  say(`A client of the MCP SDK is connected; it probed for the newest protocol, and they agreed on`)
  say(`${client.getNegotiatedProtocolVersion()}, which is what these servers speak.\n`)

  const { tools } = await client.listTools()
  const { prompts } = await client.listPrompts()
  const { resources } = await client.listResources()
  say(`  ${tools.length} tools, ${prompts.length} prompts and ${resources.length} resources:`)
  for (const server of servers) {
    const own = tools.filter(({ name }) => name.startsWith(`${server}__`))
    if (own.length === 0) throw new Error(`${server} offers no tools`)
    say(`    ${server.padEnd(16)}${String(own.length).padStart(3)} tools, such as ${own[0]?.name}`)
  }

  say('')
  for (const stop of stops(tour)) await visit(tour, stop)

  const requests = tour.audit.entries().filter(({ intent }) => intent.kind === 'request')
  const served = new Set(requests.flatMap(({ intent }) => intent.server ?? []))
  say(`\nThe gateway's audit record: ${requests.length} requests, answered by ${[...served].join(', ')}.`)
}

function stops({ client, folder }: Tour): Stop[] {
  let steps = 0
  const tool = (
    server: string,
    name: string,
    values: Record<string, unknown>,
    expected: string,
    onprogress?: () => void,
  ): Stop => ({
    server,
    method: 'tools/call',
    target: `${server}__${name}`,
    expected,
    async visit() {
      const options = { timeout: timeoutMs, ...(onprogress && { onprogress }) }
      const result = await client.callTool({ name: `${server}__${name}`, arguments: values }, options)
      const text = textIn(result.content)
      if (result.isError) throw new Error(text)
      return steps === 0 ? text : `${text} (${steps} progress messages on the way)`
    },
  })
  return [
    tool('everything', 'get-sum', { a: 19, b: 23 }, '42'),
    tool('files', 'read_text_file', { path: `${folder}/files/hello.txt` }, 'Hello from a file'),
    tool(
      'memory',
      'create_entities',
      {
        entities: [
          { name: 'Sallyport', entityType: 'gateway', observations: ['stands in front of MCP servers'] },
        ],
      },
      'Sallyport',
    ),
    {
      server: 'memory',
      method: 'resources/read',
      target: 'memory://knowledge-graph',
      expected: 'stands in front of',
      async visit() {
        const { contents } = await client.readResource({ uri: 'memory://knowledge-graph' })
        return textIn(contents)
      },
    },
    {
      server: 'everything',
      method: 'prompts/get',
      target: 'everything__args-prompt',
      expected: 'Lisbon',
      async visit() {
        const { messages } = await client.getPrompt({
          name: 'everything__args-prompt',
          arguments: { city: 'Lisbon' },
        })
        return textIn(messages.map(({ content }) => content))
      },
    },
    tool(
      'everything-http',
      'trigger-long-running-operation',
      { duration: 0.4, steps: 4 },
      '4 progress messages',
      () => {
        steps++
      },
    ),
  ]
}

/** Who answered is what the gateway recorded, not what the name suggests. */
async function visit({ audit }: Tour, { server, method, target, visit: ask, expected }: Stop): Promise<void> {
  const before = audit.entries().length
  const startedAt = performance.now()
  const text = await ask().catch((error: unknown) => {
    throw new Error(`${method} ${target}: ${error instanceof Error ? error.message : String(error)}`)
  })
  const tookMs = performance.now() - startedAt
  const recorded = audit
    .entries()
    .slice(before)
    .find(({ intent }) => intent.method === method)
  if (recorded?.intent.server !== server)
    throw new Error(
      `${method} ${target} was answered by ${recorded?.intent.server ?? 'nobody'}, not by ${server}`,
    )
  if (!text.includes(expected)) throw new Error(`${method} ${target} answered ${brief(text, 200)}`)
  say(`  ${method.padEnd(15)} ${target}`)
  say(`    ${brief(text, 100)}`)
  say(`    answered by ${server} in ${tookMs.toFixed(tookMs < 10 ? 1 : 0)} ms`)
}

/** Content of tools and prompts, and contents of resources: each has its text in the same place. */
function textIn(parts: readonly object[]): string {
  return parts.map((part) => ('text' in part && typeof part.text === 'string' ? part.text : '')).join(' ')
}

import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client as ClientV2 } from '@modelcontextprotocol/client'
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js'
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from '@modelcontextprotocol/sdk/types.js'
import { startMcpUpstream } from '@sallyport/fake-mcp-upstream'
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest'
import { type ClientKind, clientKinds, openV1, openV2, type Place, textOf } from './client-kinds.ts'
import { gatewayArguments, type HttpGateway, startHttpGateway } from './gateway-process.ts'
import { npmEntry } from './servers.ts'

const info = { name: 'sallyport-e2e', version: '1.0.0' }
const libraries = clientKinds.filter(({ isCommand }) => !isCommand)
const probing = clientKinds.filter(({ name }) => name.endsWith('auto'))

let folder: string
let gateway: HttpGateway
let modern: Awaited<ReturnType<typeof startMcpUpstream>>

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-npm-')))
  await mkdir(join(folder, 'files'))
  await writeFile(join(folder, 'files', 'note.txt'), 'a note')
  modern = await startMcpUpstream({ era: 'modern' })
  gateway = await startHttpGateway({
    everything: npmEntry('everything'),
    files: npmEntry('filesystem', [join(folder, 'files')]),
    memory: npmEntry('memory', [], { MEMORY_FILE_PATH: join(folder, 'memory.jsonl') }),
    modern: { url: modern.url },
  })
})

afterAll(async () => {
  await gateway.stop()
  await modern.close()
  await rm(folder, { recursive: true, force: true })
})

describe.concurrent('servers from npm behind one endpoint', { timeout: 60_000 }, () => {
  it.for(libraries)(
    '$name uses them all, in the era that it prefers [npm-servers, era-preferred]',
    async (kind, { onTestFinished }) => {
      const client = await connect(onTestFinished, kind, { url: gateway.url })
      expect(client.era).toBe(kind.prefers)
      const offered = ['everything__echo', 'files__list_directory', 'memory__read_graph']
      expect(await client.toolNames()).toEqual(expect.arrayContaining(offered))
      expect(await client.callTool('everything__get-sum', { a: 40, b: 2 })).toContain('42')
      const path = join(folder, 'files', 'note.txt')
      expect(await client.callTool('files__read_text_file', { path })).toBe('a note')
      const graph = await client.callTool('memory__read_graph')
      expect(JSON.parse(graph)).toEqual({ entities: [], relations: [] })
    },
  )

  it.for(probing)(
    '$name uses them over HTTP and stdio [npm-servers, era-translated]',
    async (kind, { onTestFinished }) => {
      const overHttp = await connect(onTestFinished, kind, { url: gateway.url })
      const args = gatewayArguments(gateway.config.path, '--stdio', '--server', 'files')
      const overStdio = await connect(onTestFinished, kind, { args })
      const path = join(folder, 'files', 'note.txt')
      const [names, note] = await Promise.all([
        overHttp.toolNames(),
        overStdio.callTool('read_text_file', { path }),
      ])
      expect(names).toContain('everything__echo')
      expect(note).toBe('a note')
    },
  )

  it('a modern server among them is modern on its own path [era-per-server]', async ({ onTestFinished }) => {
    const client = await openV2(
      { url: `${gateway.url}/modern` },
      new ClientV2(info, { versionNegotiation: { mode: 'auto' } }),
    )
    onTestFinished(() => client.close())
    expect(client.getProtocolEra()).toBe('modern')
    expect(textOf(await client.callTool({ name: 'echo', arguments: { a: 1 } }))).toBe('{"a":1}')
  })

  it('resources keep their URI, prompts get a prefix [resources-and-prompts]', async ({ onTestFinished }) => {
    const client = await openV1({ url: gateway.url })
    onTestFinished(() => client.close())
    const { resources } = await client.listResources()
    expect(resources.map(({ uri }) => uri)).toContain('memory://knowledge-graph')
    const { contents } = await client.readResource({ uri: 'memory://knowledge-graph' })
    expect(contents).toMatchObject([{ uri: 'memory://knowledge-graph', mimeType: 'application/json' }])
    const prompt = { name: 'everything__args-prompt', arguments: { city: 'Faro' } }
    expect((await client.getPrompt(prompt)).messages).toMatchObject([
      { role: 'user', content: { type: 'text', text: "What's weather in Faro?" } },
    ])
  })

  it.for(['', '/everything'])(
    'progress comes before the result at the endpoint "%s" [progress]',
    async (path, { onTestFinished }) => {
      const client = await openV1({ url: gateway.url + path })
      onTestFinished(() => client.close())
      const seen: number[] = []
      const name = `${path === '' ? 'everything__' : ''}trigger-long-running-operation`
      const result = await client.callTool({ name, arguments: { duration: 0.2, steps: 4 } }, undefined, {
        onprogress: ({ progress }) => seen.push(progress),
      })
      expect(textOf(result)).toContain('completed')
      expect(seen).toEqual([1, 2, 3, 4])
    },
  )

  it('asks the client that called [asks-sampling, asks-elicitation, asks-roots]', async ({
    onTestFinished,
  }) => {
    const [first, second] = await Promise.all([
      answeringClient(onTestFinished, 'first'),
      answeringClient(onTestFinished, 'second'),
    ])
    const names = (await first.listTools()).tools.map(({ name }) => name)
    expect(names).toContain('everything__trigger-sampling-request')
    const call = async (client: ClientV1, tool: string, values = {}) =>
      JSON.stringify(await client.callTool({ name: `everything__${tool}`, arguments: values }))
    const answers = await Promise.all([
      call(first, 'trigger-sampling-request', { prompt: 'hello', maxTokens: 10 }),
      call(second, 'trigger-sampling-request', { prompt: 'hello', maxTokens: 10 }),
      call(first, 'trigger-elicitation-request'),
      call(second, 'get-roots-list'),
    ])
    expect(answers[0]).toContain('sampled by first')
    expect(answers[1]).toContain('sampled by second')
    expect(answers[2]).toContain('elicited from first')
    expect(answers[3]).toContain('file:///second')
  })
})

/** An SDK v1 client that can be asked everything, and signs what it answers. */
async function answeringClient(
  onTestFinished: TestContext['onTestFinished'],
  name: string,
): Promise<ClientV1> {
  const client = new ClientV1(info, { capabilities: { sampling: {}, elicitation: {}, roots: {} } })
  client.setRequestHandler(CreateMessageRequestSchema, () => ({
    model: 'none',
    role: 'assistant' as const,
    content: { type: 'text' as const, text: `sampled by ${name}` },
  }))
  client.setRequestHandler(ElicitRequestSchema, () => ({
    action: 'accept' as const,
    content: { name: `elicited from ${name}` },
  }))
  client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: `file:///${name}`, name }] }))
  await openV1({ url: gateway.url }, client)
  onTestFinished(() => client.close())
  return client
}

async function connect(onTestFinished: TestContext['onTestFinished'], kind: ClientKind, place: Place) {
  const client = await kind.connect(place)
  onTestFinished(() => client.close())
  return client
}

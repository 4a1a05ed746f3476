import { type McpUpstream, startMcpUpstream } from '@sallyport/fake-mcp-upstream'
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest'
import { type ClientKind, clientKinds } from './client-kinds.ts'
import { type ConfigFile, createConfigFile, gatewayArguments } from './gateway-process.ts'
import { fixtureEntry } from './servers.ts'

const slow = { timeout: 60_000 }

let web: McpUpstream
let both: ConfigFile
let webOnly: ConfigFile

beforeAll(async () => {
  web = await startMcpUpstream({ name: 'web' })
  both = await createConfigFile({ web: { url: web.url }, local: fixtureEntry('dual', 'local') })
  webOnly = await createConfigFile({ web: { url: web.url } })
})

afterAll(async () => {
  await both.remove()
  await webOnly.remove()
  await web.close()
})

const commands = clientKinds.filter(({ isCommand }) => isCommand)
const libraries = clientKinds.filter(({ isCommand }) => !isCommand)

// A command connects for every single call, each time with a gateway of its own: it lists at one place and calls at the other.
describe.concurrent.each(commands)('$name over stdio [$cites]', slow, (kind) => {
  it('calls a tool on the one endpoint', async ({ onTestFinished }) => {
    const client = await connect(onTestFinished, kind, webOnly)
    expect(JSON.parse(await client.callTool('web__received'))).toHaveProperty('transport', 'http')
  })

  it('lists the tools of one server alone, without prefix', async ({ onTestFinished }) => {
    const client = await connect(onTestFinished, kind, both, '--server', 'web')
    expect(withoutPrefix(await client.toolNames())).toContain('test_simple_text')
  })
})

describe.concurrent.each(libraries)('$name over stdio [$cites]', slow, (kind) => {
  it('lists and calls the tools of an HTTP and a stdio server [era-preferred]', async ({
    onTestFinished,
  }) => {
    const client = await connect(onTestFinished, kind, both)
    expect(client.era).toBe(kind.prefers)
    expect(await client.toolNames()).toEqual(expect.arrayContaining(['web__echo', 'local__echo']))
    expect(JSON.parse(await client.callTool('local__echo', { kind: kind.name }))).toEqual({ kind: kind.name })
    expect(JSON.parse(await client.callTool('web__received'))).toHaveProperty('transport', 'http')
  })

  it('lists and calls the tools of one server alone, without prefix', async ({ onTestFinished }) => {
    const client = await connect(onTestFinished, kind, both, '--server', 'web')
    expect(client.era).toBe(kind.prefers)
    expect(withoutPrefix(await client.toolNames())).toContain('test_simple_text')
    expect(JSON.parse(await client.callTool('echo', { kind: kind.name }))).toEqual({ kind: kind.name })
  })
})

/** Fails if one of them has the prefix of a server. */
function withoutPrefix(names: readonly string[]): readonly string[] {
  expect(names.filter((name) => name.includes('__'))).toEqual([])
  return names
}

async function connect(
  onTestFinished: TestContext['onTestFinished'],
  kind: ClientKind,
  config: ConfigFile,
  ...more: readonly string[]
) {
  const client = await kind.connect({ args: gatewayArguments(config.path, '--stdio', ...more) })
  onTestFinished(() => client.close())
  return client
}

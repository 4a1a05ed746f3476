import { type McpUpstream, startMcpUpstream } from '@sallyport/fake-mcp-upstream'
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest'
import { type ClientKind, clientKinds } from './client-kinds.ts'
import { type HttpGateway, startHttpGateway } from './gateway-process.ts'
import { fixtureEntry } from './servers.ts'

let web: McpUpstream
let gateway: HttpGateway

beforeAll(async () => {
  web = await startMcpUpstream({ name: 'web' })
  gateway = await startHttpGateway({ web: { url: web.url }, local: fixtureEntry('dual', 'local') })
})

afterAll(async () => {
  await gateway.stop()
  await web.close()
})

// A command connects for every single call: it lists at one place and calls at the other.
describe.concurrent.each(clientKinds)('$name over HTTP [$cites]', { timeout: 60_000 }, (kind) => {
  it('lists the tools of an HTTP and a stdio server on one endpoint', async ({ onTestFinished }) => {
    const client = await connect(onTestFinished, kind, gateway.url)
    const offered = ['web__echo', 'local__echo', 'web__process', 'local__process']
    expect(await client.toolNames()).toEqual(expect.arrayContaining(offered))
  })

  it('calls a tool of one server on its own path, without prefix', async ({ onTestFinished }) => {
    const client = await connect(onTestFinished, kind, `${gateway.url}/local`)
    expect(JSON.parse(await client.callTool('echo', { kind: kind.name }))).toEqual({ kind: kind.name })
  })
})

const libraries = clientKinds.filter(({ isCommand }) => !isCommand)

describe.concurrent.each(libraries)('$name over HTTP [$cites]', (kind) => {
  it('calls the tools of both servers on one endpoint', async ({ onTestFinished }) => {
    const client = await connect(onTestFinished, kind, gateway.url)
    expect(JSON.parse(await client.callTool('web__received'))).toHaveProperty('transport', 'http')
    expect(JSON.parse(await client.callTool('local__received'))).toEqual({ transport: 'stdio' })
  })

  it.for(['web', 'local'])('lists what %s offers under its own names', async (server, { onTestFinished }) => {
    const client = await connect(onTestFinished, kind, `${gateway.url}/${server}`)
    const names = await client.toolNames()
    expect(names).toContain('test_simple_text')
    expect(names.filter((name) => name.includes('__'))).toEqual([])
  })

  it('ends up with the era it prefers [era-preferred]', async ({ onTestFinished }) => {
    for (const path of ['', '/web', '/local'])
      expect((await connect(onTestFinished, kind, gateway.url + path)).era).toBe(kind.prefers)
  })
})

async function connect(onTestFinished: TestContext['onTestFinished'], kind: ClientKind, url: string) {
  const client = await kind.connect({ url })
  onTestFinished(() => client.close())
  return client
}

import { createServer } from 'node:net'
import { Client } from '@modelcontextprotocol/client'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openV2, textOf } from './client-kinds.ts'
import {
  type HttpGateway,
  gatewayArguments,
  type Program,
  startHttpGateway,
  startProgram,
} from './gateway-process.ts'
import { npmEntry } from './servers.ts'

let http: Program
let gateway: HttpGateway

beforeAll(async () => {
  const port = await freePort()
  const { args } = npmEntry('everything')
  http = startProgram([...args, 'streamableHttp'], { PORT: String(port) })
  await vi.waitFor(
    () => {
      if (!http.stderr().includes('listening')) throw new Error(`not ready: ${http.stderr()}`)
    },
    { timeout: 30_000, interval: 50 },
  )
  gateway = await startHttpGateway({
    pipe: npmEntry('everything'),
    web: { url: `http://127.0.0.1:${port}/mcp` },
  })
}, 60_000)

afterAll(async () => {
  await gateway.stop()
  await http.stop()
})

/** A client of the modern era and no other, that can be asked everything. */
function modernClient(name: string): Client {
  const client = new Client(
    { name: 'sallyport-e2e', version: '1.0.0' },
    {
      capabilities: { sampling: {}, elicitation: { form: {} }, roots: {} },
      versionNegotiation: { mode: { pin: '2026-07-28' } },
    },
  )
  client.setRequestHandler('sampling/createMessage', async () => ({
    role: 'assistant',
    model: 'none',
    content: { type: 'text', text: `sampled by ${name}` },
  }))
  client.setRequestHandler('elicitation/create', async () => ({
    action: 'accept',
    content: { name: `elicited from ${name}` },
  }))
  client.setRequestHandler('roots/list', async () => ({ roots: [{ uri: `file:///${name}`, name }] }))
  return client
}

describe.concurrent('a client of the modern era', { timeout: 60_000 }, () => {
  it.for(['pipe', 'web'])(
    'uses a legacy server (%s) and answers its questions [era-translated]',
    async (server, { onTestFinished }) => {
      const client = await openV2({ url: `${gateway.url}/${server}` }, modernClient(server))
      onTestFinished(() => client.close())
      expect(client.getProtocolEra()).toBe('modern')
      expect(client.getServerVersion()?.name).toBe('mcp-servers/everything')
      const names = (await client.listTools()).tools.map(({ name }) => name)
      expect(names).toEqual(
        expect.arrayContaining(['echo', 'trigger-sampling-request', 'trigger-elicitation-request']),
      )
      expect(textOf(await client.callTool({ name: 'get-sum', arguments: { a: 40, b: 2 } }))).toContain('42')
      const call = async (name: string, values = {}) =>
        JSON.stringify(await client.callTool({ name, arguments: values }))
      expect(await call('trigger-sampling-request', { prompt: 'hello', maxTokens: 10 })).toContain(
        `sampled by ${server}`,
      )
      expect(await call('trigger-elicitation-request')).toContain(`elicited from ${server}`)
      expect(await call('get-roots-list')).toContain(`file:///${server}`)
      const seen: number[] = []
      const long = { name: 'trigger-long-running-operation', arguments: { duration: 0.2, steps: 4 } }
      await client.callTool(long, { onprogress: ({ progress }) => void seen.push(progress) })
      expect(seen).toEqual([1, 2, 3, 4])
      const { resources } = await client.listResources()
      const [first] = resources
      expect((await client.readResource({ uri: first?.uri ?? '' })).contents.length).toBeGreaterThan(0)
    },
  )

  it('uses all of them on one endpoint, over HTTP and stdio [era-translated]', async ({ onTestFinished }) => {
    const places = [{ url: gateway.url }, { args: gatewayArguments(gateway.config.path, '--stdio') }]
    for (const place of places) {
      const client = await openV2(place, modernClient('both'))
      onTestFinished(() => client.close())
      const names = (await client.listTools()).tools.map(({ name }) => name)
      expect(names).toEqual(expect.arrayContaining(['pipe__echo', 'web__echo']))
      for (const server of ['pipe', 'web']) {
        const result = await client.callTool({
          name: `${server}__trigger-elicitation-request`,
          arguments: {},
        })
        expect(JSON.stringify(result)).toContain('elicited from both')
      }
    }
  })
})

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => {
        if (typeof address === 'object' && address !== null) resolve(address.port)
        else reject(new Error('no port'))
      })
    })
  })
}

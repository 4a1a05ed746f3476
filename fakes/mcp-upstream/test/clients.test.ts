import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type McpUpstream, startMcpUpstream, type UpstreamEra } from '../src/index.ts'
import { connectV1, connectV2, type Mode, type Place, textOf } from './sdk-clients.ts'

interface Case {
  era: UpstreamEra
  mode: Mode
  revision: '2025-11-25' | '2026-07-28'
}

const cases: Case[] = [
  { era: 'dual', mode: 'auto', revision: '2026-07-28' },
  { era: 'dual', mode: 'pinned', revision: '2026-07-28' },
  { era: 'dual', mode: 'legacy', revision: '2025-11-25' },
  { era: 'modern', mode: 'auto', revision: '2026-07-28' },
  { era: 'legacy', mode: 'auto', revision: '2025-11-25' },
  { era: 'legacy', mode: 'legacy', revision: '2025-11-25' },
]

const upstreams = new Map<UpstreamEra, McpUpstream>()

beforeAll(async () => {
  for (const era of ['dual', 'modern', 'legacy'] as const) upstreams.set(era, await startMcpUpstream({ era }))
})

afterAll(async () => {
  for (const upstream of upstreams.values()) await upstream.close()
})

function placeOf(era: UpstreamEra, transport: 'http' | 'stdio'): Place {
  return transport === 'http' ? { url: upstreams.get(era)?.url ?? '' } : { stdio: era }
}

describe.each(['http', 'stdio'] as const)('SDK v2 over %s', (transport) => {
  it.each(cases)(
    'lists and calls: $era server, $mode client → $revision',
    async ({ era, mode, revision }) => {
      const client = await connectV2(placeOf(era, transport), mode)
      try {
        expect(client.getNegotiatedProtocolVersion()).toBe(revision)
        const { tools } = await client.listTools()
        expect(tools[0]?.name).toBe('test_simple_text')
        expect(tools.map(({ name }) => name)).toContain('test_x_mcp_header')
        expect(textOf(await client.callTool({ name: 'echo', arguments: { a: [1, { b: 'ü' }] } }))).toBe(
          '{"a":[1,{"b":"ü"}]}',
        )
        expect((await client.listPrompts()).prompts).toHaveLength(5)
        expect((await client.listResources()).resources).toHaveLength(3)
        expect((await client.listResourceTemplates()).resourceTemplates).toHaveLength(1)
        const { contents } = await client.readResource({ uri: 'test://template/7/data' })
        expect(contents[0]).toMatchObject({ text: '{"id":"7","templateTest":true,"data":"Data for ID: 7"}' })
        const { messages } = await client.getPrompt({
          name: 'test_prompt_with_arguments',
          arguments: { arg1: 'x', arg2: 'y' },
        })
        expect(messages[0]?.content).toMatchObject({ text: "Prompt with arguments: arg1='x', arg2='y'" })
        const { completion } = await client.complete({
          ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' },
          argument: { name: 'arg1', value: 'par' },
        })
        expect(completion.values).toEqual(['paris', 'park', 'party'])
      } finally {
        await client.close()
      }
    },
  )

  it.each(['pinned', 'legacy'] as const)(
    'asks the client for what a tool needs (%s client)',
    async (mode) => {
      const client = await connectV2(placeOf('dual', transport), mode, {
        capabilities: { elicitation: {}, sampling: {}, roots: {} },
      })
      client.setRequestHandler('elicitation/create', ({ params }) => {
        const schema = 'requestedSchema' in params ? params.requestedSchema : { properties: {} }
        const [field] = Object.keys(schema.properties)
        return { action: 'accept', content: { [field ?? '']: `my ${field}` } }
      })
      client.setRequestHandler('sampling/createMessage', () => ({
        role: 'assistant',
        model: 'none',
        content: { type: 'text', text: 'Paris' },
      }))
      client.setRequestHandler('roots/list', () => ({ roots: [{ uri: 'file:///work' }] }))
      try {
        const call = async (name: string) => textOf(await client.callTool({ name, arguments: {} }))
        expect(await call('test_input_required_result_elicitation')).toBe('Hello, my name!')
        expect(await call('test_input_required_result_sampling')).toContain('Paris')
        expect(await call('test_input_required_result_list_roots')).toBe('Roots: file:///work')
        expect(await call('test_input_required_result_multi_round')).toBe('my name likes my color')
        expect(await call('test_input_required_result_request_state')).toBe('state-ok')
        expect(await call('test_input_required_result_multiple_inputs')).toContain('my name, 1 root(s)')
      } finally {
        await client.close()
      }
    },
  )
})

describe.each(['http', 'stdio'] as const)('SDK v1 over %s', (transport) => {
  it.each(['dual', 'legacy'] as const)('lists and calls: %s server', async (era) => {
    const client = await connectV1(placeOf(era, transport))
    try {
      expect((await client.listTools()).tools[0]?.name).toBe('test_simple_text')
      expect(textOf(await client.callTool({ name: 'echo', arguments: { a: 1 } }))).toBe('{"a":1}')
      expect((await client.listResources()).resources).toHaveLength(3)
      expect((await client.listPrompts()).prompts).toHaveLength(5)
    } finally {
      await client.close()
    }
  })
})

describe('a server of one era', () => {
  it('refuses a client of the other', async () => {
    await expect(connectV1(placeOf('modern', 'http'))).rejects.toThrow(/protocol version/i)
    await expect(connectV1(placeOf('modern', 'stdio'))).rejects.toThrow(/protocol version/i)
    await expect(connectV2(placeOf('legacy', 'http'), 'pinned')).rejects.toThrow(/2026-07-28/)
    await expect(connectV2(placeOf('legacy', 'stdio'), 'pinned')).rejects.toThrow(/2026-07-28/)
  })
})

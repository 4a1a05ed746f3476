import { expect, it } from 'vitest'
import { isRecord } from '../load/answer-check.ts'
import { createEchoProtocol } from '../upstreams/echo-protocol.ts'
import { listedServerName } from '../upstreams/upstream-kinds.ts'

function namesListed(options: { toolCount: number; namedAfterServers?: number }): unknown[] {
  const respond = createEchoProtocol({ era: 'legacy', paddingBytes: 0, ...options })
  const answer: unknown = JSON.parse(respond({ jsonrpc: '2.0', id: 1, method: 'tools/list' })?.text ?? '')
  const tools = isRecord(answer) && isRecord(answer.result) ? answer.result.tools : []
  return Array.isArray(tools) ? tools.map((tool: unknown) => (isRecord(tool) ? tool.name : undefined)) : []
}

it('lists the same tools as a gateway in front of several servers with a share of them each', () => {
  const ofEach = namesListed({ toolCount: 3 })
  expect(ofEach).toEqual(['echo', 'tool-1', 'tool-2'])
  const ofGateway = [0, 1].flatMap((server) =>
    ofEach.map((name) => `${listedServerName(server)}__${String(name)}`),
  )
  expect(namesListed({ toolCount: 6, namedAfterServers: 2 })).toEqual(ofGateway)
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { scanMessage } from '../../src/wire/scan-message.ts'
import { startGateway } from '../flow/harness.ts'
import { modernMeta, open, RawSession } from '../flow/raw-client.ts'
import { startScriptedHttp } from '../flow/scripted-http.ts'
import { scriptedRuntime } from '../flow/scripted-runtime.ts'
import { differentIds } from './wire-texts.ts'

const json = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

/** The id of a JSON answer as it stands there. */
function idOf(answer: string): string | undefined {
  const bytes = Buffer.from(answer)
  const scan = scanMessage(bytes.toString('latin1'))
  return scan === undefined ? undefined : bytes.toString('utf8', scan.idStart, scan.idEnd)
}

test('every id comes back with its own answer, byte for byte, whatever way the call went', async () => {
  const http = await startScriptedHttp({ name: 'http', tools: ['t'] })
  const speaksModern = {
    name: 'new',
    on: {
      'server/discover': () => ({ supportedVersions: ['2026-07-28'], capabilities: { tools: {} } }),
      'tools/call': ({ params }: { params: { readonly arguments?: unknown } }) => params.arguments,
    },
  }
  const runtime = scriptedRuntime({ pipe: { name: 'pipe', tools: ['t'] }, new: speaksModern })
  const { gateway, url, at } = await startGateway({
    servers: { http: { url: http.url }, pipe: { command: 'pipe' }, new: { command: 'new' } },
    runtime,
  })
  await gateway.ready()
  const all = await RawSession.open(url)
  const [webAlone, pipeAlone] = [await RawSession.open(at('http')), await RawSession.open(at('pipe'))]
  const meta = JSON.stringify(modernMeta)
  const modernHeaders = {
    ...json,
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': 'tools/call',
    'mcp-name': 't',
  }
  const ways = [
    { url, headers: { ...json, ...all.headers }, name: 'http__t', meta: '{}' },
    { url, headers: { ...json, ...all.headers }, name: 'pipe__t', meta: '{}' },
    { url: webAlone.url, headers: { ...json, ...webAlone.headers }, name: 't', meta: '{}' },
    { url: pipeAlone.url, headers: { ...json, ...pipeAlone.headers }, name: 't', meta: '{}' },
    { url: at('new'), headers: modernHeaders, name: 't', meta },
  ]
  await fc.assert(
    fc.asyncProperty(differentIds(1, 5), fc.constantFrom(...ways), async (ids, way) => {
      const answers = await Promise.all(
        ids.map(async (id, index) => {
          const params = `{"name":"${way.name}","arguments":{"n":${index}},"_meta":${way.meta}}`
          const body = `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":${params}}`
          const answer = await open(way.url, { headers: way.headers, body })
          await answer.ended
          return answer.text()
        }),
      )
      expect(answers.map(idOf)).toEqual(ids)
      answers.forEach((answer, index) => expect(answer).toMatch(new RegExp(`n\\\\?":${index}\\D`)))
    }),
    { numRuns: 150 },
  )
})

import type { GatewayInterceptor } from '@sallyport/core'
import { describe, expect, it } from 'vitest'
import { allow, deny, limitSize } from '../../src/index.ts'
import { until } from '../flow/harness.ts'
import { at } from '../flow/raw-client.ts'
import { RpcFailure, type Script, text } from '../flow/scripted-server.ts'
import {
  answerTool,
  callTool,
  httpLinks,
  type LegacyBehind,
  questionsOf,
  startLegacyBehind,
  startTool,
  transports,
} from './legacy-behind.ts'

const question = { messages: [{ role: 'user', content: { type: 'text', text: 'say' } }], maxTokens: 5 }

const script: Script = {
  name: 's',
  tools: ['sample'],
  call: async ({ ask }) => text(JSON.stringify(await ask('sampling/createMessage', question))),
}

/** A caller who can have one call that waits is told if there is another. */
const limits = { parkedCallsPerPrincipal: 1 }

function replacing(): GatewayInterceptor {
  return {
    name: 'replacing',
    response: {
      body: 'buffer',
      handle: (_context, { response }) => ({ ...response, result: { resultType: 'complete', content: [] } }),
    },
  }
}

/** The server knows that nobody answers, and nothing of the call is left. */
async function expectNothingLeft(behind: LegacyBehind, calls: number): Promise<void> {
  const { gateway, messages, links, processes, transport } = behind
  await until(() => {
    expect(messages('notifications/cancelled').length).toBe(calls)
    const answers = links().flatMap(({ received }) => received.filter((message) => 'error' in message))
    // a session over HTTP goes on; a process that may still ask about the call ends
    if (transport === 'HTTP') expect(answers.length).toBe(calls)
    else expect(processes().filter((each) => links().includes(each) && each.running())).toEqual([])
  })
  expect(gateway.status().openCalls).toBe(0)
}

describe.each(transports)('a question of a legacy server over %s', (transport) => {
  it('that policy denies is answered for the client, and the call goes on', async () => {
    const { own, url, gateway, messages } = await startLegacyBehind(transport, script, {
      limits,
      policy: [allow({ servers: 's' }), deny({ asks: 's/sampling' })],
    })
    for (const [to, name] of [
      [own, 'sample'],
      [url, 's__sample'],
      [own, 'sample'],
    ] as const) {
      const answer = await callTool(to, name)
      expect(at(answer, 'result', 'content', 0, 'text')).toContain('"code":-32601')
    }
    expect(gateway.status().openCalls).toBe(0)
    expect(messages('notifications/cancelled')).toEqual([])
  })

  it.each([
    ['refused', limitSize({ responseBytes: 100 }), 'ERR_LIMIT_EXCEEDED'],
    ['replaced', replacing(), undefined],
  ])('that an interceptor has %s leaves nothing behind', async (_what, interceptor, code) => {
    const behind = await startLegacyBehind(transport, script, { limits, interceptors: [interceptor] })
    for (let calls = 1; calls <= 3; calls++) {
      const answer = await callTool(behind.own, 'sample')
      expect(at(answer, 'error', 'data', 'code')).toBe(code)
      expect(answer).not.toMatchObject({ error: { data: { limit: 1 } } })
      await expectNothingLeft(behind, calls)
    }
  })

  it('that an interceptor has changed in other parts waits for its answer', async () => {
    const marking: GatewayInterceptor = {
      name: 'marking',
      response: { body: 'buffer', handle: (_context, { response }) => ({ ...response, marked: true }) },
    }
    const { own } = await startLegacyBehind(transport, script, { interceptors: [marking] })
    const asked = await callTool(own, 'sample')
    expect(questionsOf(asked).keys).toEqual(['q1'])
    const done = await answerTool(own, 'sample', asked)
    expect(at(done, 'result', 'content', 0, 'text')).toContain('"role":"assistant"')
  })

  it('that its client does not wait for leaves nothing behind', async () => {
    let reached = false
    const slow: GatewayInterceptor = {
      name: 'slow',
      response: {
        body: 'none',
        handle: () => {
          reached = true
          return new Promise(() => {})
        },
      },
    }
    const reporting: Script = {
      ...script,
      call: async ({ ask, send, params }) => {
        const progressToken = at(params, '_meta', 'progressToken')
        send({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken, progress: 1 } })
        return text(JSON.stringify(await ask('sampling/createMessage', question)))
      },
    }
    const behind = await startLegacyBehind(transport, reporting, { limits, interceptors: [slow] })
    const stream = await startTool(behind.own, 'sample', {}, { meta: { progressToken: 'p' } })
    await until(() => expect(reached).toBe(true))
    stream.abort()
    await expectNothingLeft(behind, 1)
  })
})

describe('a question on the stream that belongs to no call', () => {
  it('is refused for a client that answers none, so that the call ends', async () => {
    const behind = await startLegacyBehind('HTTP', {
      ...script,
      async call({ link, message }) {
        await until(() => expect(httpLinks(behind).find(({ id }) => id === link.id)?.streams.size).toBe(1))
        link.push({ jsonrpc: '2.0', id: 'general', method: 'sampling/createMessage', params: question })
        await until(() => expect(link.received.some(({ id }) => id === 'general')).toBe(true))
        throw new RpcFailure(-32603, `cannot go on with ${String(message['method'])}`)
      },
    })
    expect(await callTool(behind.own, 'sample', {}, { capabilities: {} })).toMatchObject({
      status: 400,
      error: { code: -32021, data: { requiredCapabilities: { sampling: {} } } },
    })
  })
})

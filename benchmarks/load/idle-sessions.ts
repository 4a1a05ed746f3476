import { checkBody } from './answer-check.ts'
import { type TokenSigning, signToken } from './bearer-token.ts'
import { exchange, isEventStream, openLegacySession, requestText, streamableHeaders } from './handshake.ts'
import { HttpConnection } from './http-connection.ts'

export interface IdleSessionsOptions {
  url: string
  tokens?: TokenSigning
  /** The sessions are spread over so many connections, each of them another caller. */
  connections: number
}

/** Sessions of 2025-11-25 that are opened and then left alone, as those of most clients are. */
export interface IdleSessions {
  readonly count: number
  /** Opens more, until there are so many. */
  growTo(count: number): Promise<void>
  /** Calls a tool in every n-th of them; throws when an answer is wrong. Returns how many were called. */
  use(every: number): Promise<number>
  close(): void
}

interface Caller {
  connection: HttpConnection
  headers: ReadonlyMap<string, string>
  identities: ReadonlyMap<string, string>[]
}

export async function createIdleSessions({
  url,
  tokens,
  connections,
}: IdleSessionsOptions): Promise<IdleSessions> {
  const target = new URL(url)
  const callers = await Promise.all(
    Array.from({ length: connections }, async (_, index): Promise<Caller> => {
      const token = tokens && (await signToken(tokens, `idle-${index}`))
      return { connection: new HttpConnection(target), headers: streamableHeaders(token), identities: [] }
    }),
  )
  let count = 0
  let lastId = 1

  const callEcho = async ({ connection, headers }: Caller, identity: ReadonlyMap<string, string>) => {
    const id = ++lastId
    const message = `message ${id} of an idle session`
    const response = await exchange(
      connection,
      requestText('POST', target, new Map([...headers, ...identity]), {
        jsonrpc: '2.0',
        id,
        method: 'tools/call',
        params: { name: 'echo', arguments: { message } },
      }),
    )
    const problem =
      response.status === 200
        ? checkBody(response.body, isEventStream(response), { kind: 'echo', id, message, paddingBytes: 0 })
        : `status ${response.status}: ${response.body.toString('utf8', 0, 300)}`
    if (problem !== undefined) throw new Error(`an idle session: ${problem}`)
  }

  return {
    get count() {
      return count
    },
    async growTo(wanted) {
      await Promise.all(
        callers.map(async (caller) => {
          while (count < wanted) {
            count += 1
            caller.identities.push(await openLegacySession(caller.connection, target, caller.headers))
          }
        }),
      )
    },
    async use(every) {
      let used = 0
      await Promise.all(
        callers.map(async (caller) => {
          for (let index = 0; index < caller.identities.length; index += every) {
            const identity = caller.identities[index]
            if (identity === undefined) continue
            await callEcho(caller, identity)
            used += 1
          }
        }),
      )
      return used
    },
    close() {
      for (const { connection } of callers) connection.close()
    },
  }
}

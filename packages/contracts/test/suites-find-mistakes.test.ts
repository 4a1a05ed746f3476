import type {
  AuditRecorder,
  Authenticator,
  McpSessionStore,
  RateLimiter,
  ServerRegistry,
  UpstreamCredentials,
} from '@sallyport/core'
import {
  createMemoryAuditRecorder,
  createMemoryMcpSessionStore,
  createMemoryRateLimiter,
  createMemoryServerRegistry,
} from '@sallyport/core/memory'
import { expect, test } from 'vitest'
import {
  auditRecorderContract,
  authenticatorContract,
  type ContractCase,
  mcpSessionStoreContract,
  rateLimiterContract,
  serverRegistryContract,
  upstreamCredentialsContract,
} from '../src/index.ts'

/** Names of the cases that an adapter fails. A suite is worth what it finds. */
async function failures(cases: readonly ContractCase[]): Promise<string[]> {
  const outcomes = await Promise.allSettled(cases.map((one) => one.run()))
  return cases.filter((_, index) => outcomes[index]?.status === 'rejected').map((one) => one.name)
}

const defectiveStores: Record<
  string,
  (store: McpSessionStore, now: () => number) => Partial<McpSessionStore>
> = {
  'an expired record is absent from the very millisecond': (store) => {
    const kept = new Map<string, Awaited<ReturnType<McpSessionStore['get']>>>()
    return {
      put: (record) => {
        kept.set(record.id, structuredClone(record))
        return store.put(record)
      },
      get: async (id) => (await store.get(id)) ?? kept.get(id),
    }
  },
  'updates at the same time all count': (store) => ({
    async update(id, change) {
      const record = await store.get(id)
      if (record === undefined) return false
      await Promise.resolve()
      await store.put({
        ...record,
        expiresAt: change.expiresAt ?? record.expiresAt,
        upstreamSessions: { ...record.upstreamSessions, ...change.upstreamSessions },
      })
      return true
    },
  }),
  'ids of every form stay apart': (store) => ({
    put: (record) => store.put({ ...record, id: record.id.toLowerCase() }),
    get: (id) => store.get(id.toLowerCase()),
  }),
  'delete says whether it was there': (store) => ({
    async delete(id) {
      await store.delete(id)
      return true
    },
  }),
  'update changes what it names, and nothing else': (store) => ({
    async update(id, change) {
      const record = await store.get(id)
      if (record === undefined) return false
      await store.put({ ...record, ...change })
      return true
    },
  }),
}

test.each(Object.entries(defectiveStores))('session store: %s', async (name, defect) => {
  const cases = mcpSessionStoreContract({
    open(clock) {
      const store = createMemoryMcpSessionStore(clock)
      return { store: { ...store, ...defect(store, clock.now) } }
    },
  })
  expect(await failures(cases)).toContain(name)
})

test('session store: references handed out', async () => {
  const open = () => {
    const records = new Map<string, Parameters<McpSessionStore['put']>[0]>()
    const store: McpSessionStore = {
      put: (record) => void records.set(record.id, record),
      get: (id) => records.get(id),
      update: () => true,
      delete: (id) => records.delete(id),
    }
    return { store }
  }
  expect(await failures(mcpSessionStoreContract({ open }))).toContain('records are copied in and out')
})

test('audit recorder: nothing before the outcome, and mixed up', async () => {
  const open = () => {
    const memory = createMemoryAuditRecorder()
    let last: ReturnType<AuditRecorder['begin']> | undefined
    const recorder: AuditRecorder = {
      begin(intent) {
        return {
          async end(outcome) {
            last ??= memory.begin(intent)
            await (await last).end(outcome)
          },
        }
      },
    }
    return { recorder, entries: () => memory.entries() }
  }
  expect(await failures(auditRecorderContract({ open }))).toEqual(
    expect.arrayContaining([
      'an intent is recorded before its outcome is known',
      'calls under way together do not get mixed up',
    ]),
  )
})

test('server registry: a watch that does not end', async () => {
  const cases = serverRegistryContract({
    open(servers) {
      const memory = createMemoryServerRegistry(servers)
      const registry: ServerRegistry = {
        list: () => memory.list(),
        watch(listener) {
          memory.watch(listener)
          return () => {}
        },
      }
      return { registry, replace: (next) => memory.replace(next) }
    },
  })
  expect(await failures(cases)).toEqual([
    'everyone who watches is told, until they end it',
    'one function can watch twice',
  ])
})

test('authenticator: lets everybody in, without a name, and says too much', async () => {
  const input = { method: 'POST', url: 'https://a.example', headers: { authorization: 'Bearer canary' } }
  const authenticator: Authenticator = {
    authenticate: ({ headers }) =>
      headers.authorization === 'Bearer canary'
        ? { status: 401, error: 'invalid_token', description: 'not known: "canary"' }
        : { tenant: '', subject: 'x', roles: [], scopes: [] },
  }
  const accepted = [{ ...input, headers: {} }]
  const open = () => ({ authenticator, accepted, refused: [{ input, secrets: ['canary'] }] })
  expect(await failures(authenticatorContract({ open }))).toEqual(
    expect.arrayContaining([
      'who is let in has a tenant and a subject',
      'a refusal is a challenge that says what is missing, and stays one',
      'a refusal repeats nothing of the credential',
      'no credential is no mistake',
      'hostile headers neither let anybody in nor raise anything',
    ]),
  )
})

const defectiveLimiters: Record<string, (limiter: RateLimiter, now: () => number) => RateLimiter> = {
  'points are counted down and then refused': (limiter) => ({
    consume: async (limit, key) => ({ ...(await limiter.consume(limit, key)), allowed: true }),
  }),
  'a window begins with the first point and is not made longer': (_limiter, now) => {
    const windows = new Map<string, { used: number; endsAt: number }>()
    return {
      consume(limit, key) {
        const id = JSON.stringify([limit.name, key])
        const open = windows.get(id)
        const used = open !== undefined && open.endsAt > now() ? open.used : 0
        const allowed = used < limit.points
        const resetMs = limit.durationSeconds * 1_000
        windows.set(id, { used: allowed ? used + 1 : used, endsAt: now() + resetMs })
        return { allowed, remaining: Math.max(0, limit.points - used - 1), resetMs }
      },
    }
  },
  'keys are counted apart, whatever they hold': (limiter) => ({
    consume: (limit, key) => limiter.consume(limit, key.toLowerCase().trim()),
  }),
  'one key under two limits is two counters': (limiter) => ({
    consume: (limit, key) => limiter.consume({ ...limit, name: 'all' }, key),
  }),
  'of many at the same time, as many as there are points are allowed': (_limiter, now) => {
    const counters = new Map<string, number>()
    return {
      async consume(limit, key) {
        const id = JSON.stringify([limit.name, key, Math.floor(now() / (limit.durationSeconds * 1_000))])
        const used = counters.get(id) ?? 0
        await Promise.resolve()
        counters.set(id, used + 1)
        return {
          allowed: used < limit.points,
          remaining: Math.max(0, limit.points - used - 1),
          resetMs: 1_000,
        }
      },
    }
  },
}

test.each(Object.entries(defectiveLimiters))('rate limiter: %s', async (name, defect) => {
  const cases = rateLimiterContract({
    open: ({ now }) => ({ limiter: defect(createMemoryRateLimiter({ now }), now) }),
  })
  expect(await failures(cases)).toContain(name)
})

test('upstream credentials: one cache entry for all', async () => {
  const credentials: UpstreamCredentials = { get: () => ({ headers: { authorization: 'Bearer x' } }) }
  const principal = { tenant: 't', subject: 's', roles: [], scopes: [] }
  const granted = { principal, server: { name: 'a', definition: { url: 'https://a.example' } } }
  const open = () => ({ credentials, granted })
  expect(await failures(upstreamCredentialsContract({ open }))).toEqual([
    'nobody gets the credential of somebody else',
  ])
})

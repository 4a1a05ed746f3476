import assert from 'node:assert/strict'
import { type McpSessionRecord, type McpSessionStore, SallyportError } from '@sallyport/core'
import { type ContractCase, casesFor } from './contract-case.ts'
import { createFakeClock, type FakeClock } from './fake-clock.ts'

export interface McpSessionStoreSubject {
  readonly store: McpSessionStore
  close?(): void | Promise<void>
}

/**
 * The contract of `McpSessionStore`.
 * @param options.open an empty store that takes the time from `now`
 * @param options.openDead a store whose backend is dead, if it can be had
 */
export function mcpSessionStoreContract(options: {
  open(clock: { readonly now: () => number }): McpSessionStoreSubject | Promise<McpSessionStoreSubject>
  openDead?(): McpSessionStore | Promise<McpSessionStore>
}): ContractCase[] {
  const { openDead } = options
  const open = async () => {
    const clock = createFakeClock()
    return { ...(await options.open({ now: clock.now })), clock }
  }
  const cases = casesFor(open, checks)
  if (openDead === undefined) return cases
  return [
    ...cases,
    { name: 'a dead backend is an error, not absence', run: async () => expectDead(await openDead()) },
  ]
}

async function expectDead(store: McpSessionStore): Promise<void> {
  const calls = [
    () => store.put(recordAt(0)),
    () => store.get('id'),
    () => store.update('id', { expiresAt: 1 }),
    () => store.delete('id'),
  ]
  for (const call of calls) {
    await assert.rejects(
      async () => call(),
      (error) => SallyportError.isInstance(error) && error.code === 'ERR_STORAGE_UNAVAILABLE',
    )
  }
}

const hourMs = 3_600_000

function recordAt(now: number, more: Partial<McpSessionRecord> = {}): McpSessionRecord {
  return {
    id: 'id',
    tenant: 'acme',
    owner: '["acme","","ada"]',
    protocolVersion: '2025-11-25',
    initializeParams: '{"capabilities":{}}',
    upstreamSessions: {},
    expiresAt: now + hourMs,
    ...more,
  }
}

type Subject = McpSessionStoreSubject & { readonly clock: FakeClock }

const checks: Record<string, (subject: Subject) => Promise<void>> = {
  async 'what is not there is undefined, or false'({ store }) {
    assert.equal(await store.get('id'), undefined)
    assert.equal(await store.update('id', { expiresAt: Number.MAX_SAFE_INTEGER }), false)
    assert.equal(await store.delete('id'), false)
    assert.equal(await store.get('id'), undefined)
  },

  async 'a record comes back as it was'({ store, clock }) {
    const full = recordAt(clock.now(), {
      endpoint: 'files',
      initializeParams: JSON.stringify({ text: `"\\ \u{1f511} \u2028 ${'x'.repeat(100_000)}` }),
      upstreamSessions: { files: 'abc', 'a.b:c': 'd', naïve: 'e', constructor: 'f' },
    })
    await store.put(full)
    assert.deepEqual(await store.get('id'), full)
    await store.put(recordAt(clock.now(), { id: 'other' }))
    const other = await store.get('other')
    assert.deepEqual(other, recordAt(clock.now(), { id: 'other' }))
    assert.equal(other !== undefined && 'endpoint' in other, false)
  },

  async 'a second put replaces the whole record'({ store, clock }) {
    await store.put(recordAt(clock.now(), { endpoint: 'files', upstreamSessions: { a: '1' } }))
    await store.put(recordAt(clock.now(), { tenant: 'other' }))
    assert.deepEqual(await store.get('id'), recordAt(clock.now(), { tenant: 'other' }))
  },

  async 'records are copied in and out'({ store, clock }) {
    const sessions: Record<string, string> = { a: '1' }
    const given = { ...recordAt(clock.now()), upstreamSessions: sessions }
    await store.put(given)
    given.tenant = 'mallory'
    sessions['a'] = 'changed'
    assert.deepEqual(await store.get('id'), recordAt(clock.now(), { upstreamSessions: { a: '1' } }))
    const got = await store.get('id')
    assert.ok(got !== undefined)
    Object.assign(got, { tenant: 'mallory' })
    Object.assign(got.upstreamSessions, { a: 'changed' })
    assert.deepEqual(await store.get('id'), recordAt(clock.now(), { upstreamSessions: { a: '1' } }))
    const more: Record<string, string> = { b: '2' }
    await store.update('id', { upstreamSessions: more })
    more['b'] = 'changed'
    assert.deepEqual((await store.get('id'))?.upstreamSessions, { a: '1', b: '2' })
  },

  async 'update changes what it names, and nothing else'({ store, clock }) {
    const before = recordAt(clock.now(), { upstreamSessions: { a: '1', b: '2' } })
    await store.put(before)
    await store.put(recordAt(clock.now(), { id: 'other' }))
    assert.equal(await store.update('id', {}), true)
    assert.deepEqual(await store.get('id'), before)
    assert.equal(await store.update('id', { expiresAt: before.expiresAt + 1 }), true)
    assert.deepEqual(await store.get('id'), { ...before, expiresAt: before.expiresAt + 1 })
    assert.equal(await store.update('id', { upstreamSessions: { b: '3', c: '4' } }), true)
    assert.deepEqual((await store.get('id'))?.upstreamSessions, { a: '1', b: '3', c: '4' })
    assert.deepEqual(await store.get('other'), recordAt(clock.now(), { id: 'other' }))
  },

  async 'an expired record is absent from the very millisecond'({ store, clock }) {
    const record = recordAt(clock.now())
    await store.put(record)
    clock.advance(hourMs - 1)
    assert.deepEqual(await store.get('id'), record)
    clock.advance(1)
    assert.equal(await store.get('id'), undefined)
    assert.equal(await store.update('id', { expiresAt: clock.now() + hourMs }), false)
    assert.equal(await store.get('id'), undefined)
  },

  async 'update prolongs a life'({ store, clock }) {
    await store.put(recordAt(clock.now()))
    clock.advance(hourMs - 1)
    assert.equal(await store.update('id', { expiresAt: clock.now() + hourMs }), true)
    clock.advance(hourMs - 1)
    assert.equal((await store.get('id'))?.id, 'id')
    clock.advance(1)
    assert.equal(await store.get('id'), undefined)
  },

  async 'update can end a life'({ store, clock }) {
    await store.put(recordAt(clock.now()))
    assert.equal(await store.update('id', { expiresAt: clock.now() }), true)
    assert.equal(await store.get('id'), undefined)
  },

  async 'an id can be used again'({ store, clock }) {
    await store.put(recordAt(clock.now(), { upstreamSessions: { a: '1' } }))
    clock.advance(hourMs)
    await store.put(recordAt(clock.now()))
    assert.deepEqual((await store.get('id'))?.upstreamSessions, {})
    assert.equal(await store.delete('id'), true)
    await store.put(recordAt(clock.now()))
    assert.equal((await store.get('id'))?.id, 'id')
  },

  async 'delete says whether it was there'({ store, clock }) {
    await store.put(recordAt(clock.now()))
    await store.put(recordAt(clock.now(), { id: 'other' }))
    assert.equal(await store.delete('id'), true)
    assert.equal(await store.delete('id'), false)
    assert.equal(await store.get('id'), undefined)
    assert.equal((await store.get('other'))?.id, 'other')
  },

  async 'ids of every form stay apart'({ store, clock }) {
    const ids = [
      'a',
      'A',
      'a ',
      'a:b',
      'a*',
      'a%',
      "a'--",
      'a/../b',
      '{a}',
      '__proto__',
      'constructor',
      '0',
      'x'.repeat(256),
    ]
    for (const id of ids) await store.put(recordAt(clock.now(), { id, upstreamSessions: { own: id } }))
    for (const id of ids) assert.equal((await store.get(id))?.upstreamSessions['own'], id)
    for (const id of ids) assert.equal(await store.delete(id), true)
    for (const id of ids) assert.equal(await store.get(id), undefined)
  },

  async 'a server may have any name'({ store, clock }) {
    // JSON.parse makes "__proto__" a property like any other; an object literal would not.
    const upstreamSessions: Record<string, string> = JSON.parse('{"__proto__": "1", "toString": "2"}')
    await store.put(recordAt(clock.now(), { upstreamSessions }))
    await store.update('id', { upstreamSessions: JSON.parse('{"__proto__": "3"}') })
    const got = await store.get('id')
    assert.deepEqual(Object.entries(got?.upstreamSessions ?? {}).toSorted(), [
      ['__proto__', '3'],
      ['toString', '2'],
    ])
  },

  async 'updates at the same time all count'({ store, clock }) {
    await store.put(recordAt(clock.now()))
    const names = Array.from({ length: 50 }, (_, n) => `server-${n}`)
    const done = await Promise.all(
      names.map(async (name) => store.update('id', { upstreamSessions: { [name]: name } })),
    )
    assert.deepEqual(
      done,
      names.map(() => true),
    )
    const got = await store.get('id')
    assert.deepEqual(Object.keys(got?.upstreamSessions ?? {}).toSorted(), names.toSorted())
  },

  async 'of deletions at the same time one counts'({ store, clock }) {
    await store.put(recordAt(clock.now()))
    const done = await Promise.all(Array.from({ length: 20 }, async () => store.delete('id')))
    assert.equal(done.filter(Boolean).length, 1)
  },
}

/** What is measured. One row of the table each; a cell that is `planned` runs only with `--all`. */

export type Era = 'legacy' | 'modern'

/** The revision whose requirement set an era is measured against. */
export const revisionOf = { legacy: '2025-11-25', modern: '2026-07-28' } as const satisfies Record<
  Era,
  string
>

interface CommonCell {
  id: string
  front: string
  upstream: string
  transport: 'http' | 'stdio'
  planned: boolean
}

/** The suite is the client: it calls the fixture, directly or through the gateway. */
export interface ServerCell extends CommonCell {
  kind: 'server'
  revision: string
  through: 'nothing' | 'gateway'
  upstreamEra: Era | 'dual'
  /** Scenarios that the requirement set does not score and that must pass all the same. */
  alsoRequired: RequiredScenario[]
}

/** The suite is the server: a real client calls it, directly or through the gateway. */
export interface ClientCell extends CommonCell {
  kind: 'client'
  revision: string
  through: 'nothing' | 'gateway'
  alsoRequired: RequiredScenario[]
}

export type Cell = ServerCell | ClientCell

/** `checks` lists what must have been seen to succeed: some scenarios pass without having tested anything. */
export interface RequiredScenario {
  scenario: string
  checks: string[]
}

const polling: RequiredScenario = {
  scenario: 'server-sse-polling',
  checks: ['server-sse-priming-event', 'server-sse-retry-field', 'server-sse-disconnect-resume'],
}
const headerValidation: RequiredScenario = {
  scenario: 'http-header-validation',
  checks: ['sep-2243-server-reject-invalid-headers', 'sep-2243-server-reject-error-code'],
}
const parameterHeaders: RequiredScenario = {
  scenario: 'http-custom-header-server-validation',
  checks: [
    'sep-2243-server-decode-base64',
    'sep-2243-server-validate-param-match',
    'sep-2243-server-reject-invalid-param-chars',
    'sep-2243-server-reject-param-mismatch',
  ],
}
const schemaPreservation: RequiredScenario = { scenario: 'json-schema-2020-12-preservation', checks: [] }

function direct(era: Era): ServerCell {
  return {
    kind: 'server',
    id: `direct-${era}`,
    front: 'direct',
    upstream: era,
    transport: 'http',
    revision: revisionOf[era],
    through: 'nothing',
    upstreamEra: 'dual',
    alsoRequired: era === 'legacy' ? [polling] : [headerValidation, parameterHeaders],
    planned: false,
  }
}

function gateway(front: Era, upstream: Era, transport: 'http' | 'stdio'): ServerCell {
  // a stream that is let go of and polled for does not exist in the modern era (2026-07-28 streamable-http)
  const ofLegacy = upstream === 'legacy' ? [polling] : []
  const ofModern = upstream === 'modern' ? [parameterHeaders] : []
  const overHttp = front === 'legacy' ? ofLegacy : [headerValidation, ...ofModern]
  return {
    kind: 'server',
    id: `${front}-${upstream}-${transport}`,
    front,
    upstream,
    transport,
    revision: revisionOf[front],
    through: 'gateway',
    upstreamEra: upstream,
    // for a modern server on stdio the gateway compares the headers in its place
    alsoRequired: transport === 'http' || (front === 'modern' && upstream === 'modern') ? overHttp : [],
    planned: false,
  }
}

function client(era: Era, through: 'nothing' | 'gateway'): ClientCell {
  const name = `client ${revisionOf[era]}`
  return {
    kind: 'client',
    id: `client-${through === 'nothing' ? 'direct-' : ''}${era}`,
    front: through === 'nothing' ? `${name}, direct` : name,
    upstream: era,
    transport: 'http',
    revision: revisionOf[era],
    through,
    alsoRequired: [schemaPreservation],
    planned: false,
  }
}

export const cells: Cell[] = [
  direct('legacy'),
  direct('modern'),
  gateway('legacy', 'legacy', 'http'),
  gateway('legacy', 'legacy', 'stdio'),
  gateway('modern', 'modern', 'http'),
  gateway('modern', 'modern', 'stdio'),
  gateway('modern', 'legacy', 'http'),
  gateway('modern', 'legacy', 'stdio'),
  gateway('legacy', 'modern', 'http'),
  gateway('legacy', 'modern', 'stdio'),
  client('legacy', 'nothing'),
  client('modern', 'nothing'),
  client('legacy', 'gateway'),
  client('modern', 'gateway'),
]

import type { DefinitionKind } from '@sallyport/core'

/** The four lists of MCP that a gateway joins. */
export interface ListKind {
  readonly kind: DefinitionKind
  readonly method: string
  /** Capability that a server must have declared to be asked. */
  readonly capability: 'tools' | 'prompts' | 'resources'
  /** Notification that it has changed; templates are announced with resources. */
  readonly changed: string
  /** Names are made unique; URIs are left alone. */
  readonly named: boolean
}

export const LISTS: readonly ListKind[] = [
  {
    kind: 'tools',
    method: 'tools/list',
    capability: 'tools',
    changed: 'notifications/tools/list_changed',
    named: true,
  },
  {
    kind: 'prompts',
    method: 'prompts/list',
    capability: 'prompts',
    changed: 'notifications/prompts/list_changed',
    named: true,
  },
  {
    kind: 'resources',
    method: 'resources/list',
    capability: 'resources',
    changed: 'notifications/resources/list_changed',
    named: false,
  },
  {
    kind: 'resourceTemplates',
    method: 'resources/templates/list',
    capability: 'resources',
    changed: 'notifications/resources/list_changed',
    named: false,
  },
]

const byMethod = new Map(LISTS.map((list) => [list.method, list]))
const byKind = new Map(LISTS.map((list) => [list.kind, list]))

export function listOfMethod(method: string): ListKind | undefined {
  return byMethod.get(method)
}

export function listOfKind(kind: DefinitionKind): ListKind {
  const list = byKind.get(kind)
  if (list === undefined) throw new RangeError(`no list of ${kind}`)
  return list
}

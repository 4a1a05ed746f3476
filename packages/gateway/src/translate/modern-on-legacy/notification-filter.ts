import { isRecord } from '../../wire/client-message.ts'

/** What a client asked to hear about (2026-07-28 basic/patterns/subscriptions, "Notification Filter"). */
export interface NotificationFilter {
  /** Of `notifications/tools/list_changed` and the like. */
  readonly methods: ReadonlySet<string>
  readonly uris: readonly string[]
}

const MAX_URIS = 1_000
const KINDS = ['tools', 'prompts', 'resources'] as const

/** `undefined` if the value is no filter. */
export function readFilter(value: unknown): NotificationFilter | undefined {
  if (!isRecord(value)) return undefined
  const uris = value['resourceSubscriptions'] ?? []
  if (!Array.isArray(uris) || uris.length > MAX_URIS || !uris.every((uri) => typeof uri === 'string'))
    return undefined
  const wanted = KINDS.filter((kind) => value[`${kind}ListChanged`] === true)
  return { methods: new Set(wanted.map(changed)), uris: [...new Set<string>(uris)] }
}

/** The part of it that a server with these capabilities can honour. */
export function within(
  { methods, uris }: NotificationFilter,
  capabilities: Readonly<Record<string, unknown>>,
): NotificationFilter {
  const declares = (kind: string, what: string) => {
    const capability = capabilities[kind]
    return isRecord(capability) && capability[what] === true
  }
  const kinds = KINDS.filter((kind) => methods.has(changed(kind)) && declares(kind, 'listChanged'))
  return { methods: new Set(kinds.map(changed)), uris: declares('resources', 'subscribe') ? uris : [] }
}

export function wireFilter({ methods, uris }: NotificationFilter): Readonly<Record<string, unknown>> {
  const kinds = KINDS.filter((kind) => methods.has(changed(kind)))
  return {
    ...Object.fromEntries(kinds.map((kind) => [`${kind}ListChanged`, true])),
    ...(uris.length > 0 && { resourceSubscriptions: uris }),
  }
}

function changed(kind: string): string {
  return `notifications/${kind}/list_changed`
}

import { isRecord } from '../wire/client-message.ts'

/** What a request is about: one of the things that servers have, the server as such, or something that no revision of MCP knows. */
export type RequestKind = 'tool' | 'prompt' | 'resource' | 'completion' | 'listen' | 'server' | 'method'

const kinds: ReadonlyMap<string, RequestKind> = new Map([
  ['tools/call', 'tool'],
  ['prompts/get', 'prompt'],
  ['resources/read', 'resource'],
  ['resources/subscribe', 'resource'],
  ['resources/unsubscribe', 'resource'],
  ['completion/complete', 'completion'],
  ['subscriptions/listen', 'listen'],
  ['initialize', 'server'],
  ['server/discover', 'server'],
  ['ping', 'server'],
  ['logging/setLevel', 'server'],
  ['tools/list', 'server'],
  ['prompts/list', 'server'],
  ['resources/list', 'server'],
  ['resources/templates/list', 'server'],
])

export function requestKind(method: string): RequestKind {
  return kinds.get(method) ?? 'method'
}

/**
 * Name or URI that a request is about: the member that the method gives a meaning to, and no other, or a second one would
 * hide the first from whoever looks at requests. `undefined` if it is not there, or no text.
 */
export function requestTarget(method: string, params: Readonly<Record<string, unknown>>): string | undefined {
  switch (requestKind(method)) {
    case 'tool':
    case 'prompt':
      return textOf(params['name'])
    case 'resource':
      return textOf(params['uri'])
    case 'completion': {
      const { ref } = params
      if (!isRecord(ref)) return undefined
      return ref['type'] === 'ref/prompt' ? textOf(ref['name']) : textOf(ref['uri'])
    }
    case 'listen':
    case 'server':
      return undefined
    case 'method':
      return textOf(params['name']) ?? textOf(params['uri'])
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

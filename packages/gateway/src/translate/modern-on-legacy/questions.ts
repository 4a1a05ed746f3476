import { isRecord, parseJson } from '../../wire/client-message.ts'
import { objectMembers, withoutMembers } from '../../wire/object-members.ts'
import { RpcCode } from '../../wire/protocol.ts'
import type { MessageScan } from '../../wire/scan-message.ts'
import { type Edit, splice } from '../../wire/splice.ts'

type Members = Readonly<Record<string, unknown>>

/** Why a client is not asked, as its server is told (2025-11-25 client/{sampling,elicitation,roots}, "Error Handling"). */
export interface Refusal {
  readonly code: number
  readonly message: string
  /** What the client would have had to declare. */
  readonly required?: Members
}

/** Members of a question that only mean something in the legacy era. */
const LEGACY_ONLY: ReadonlySet<string> = new Set(['elicitationId', 'task'])
const LEGACY_ONLY_META: ReadonlySet<string> = new Set([
  'progressToken',
  'io.modelcontextprotocol/related-task',
])

/** Whether a question of a server can be put to a client with these capabilities: if not, why. */
export function refusalOf(
  method: string,
  message: Buffer,
  scan: MessageScan,
  capabilities: Members,
): Refusal | undefined {
  const { sampling, elicitation, roots } = capabilities
  const params = scan.paramsStart < 0 ? {} : parseJson(message.subarray(scan.paramsStart, scan.paramsEnd))
  if (!isRecord(params)) return { code: RpcCode.invalidParams, message: 'params must be an object' }
  switch (method) {
    case 'roots/list':
      return roots === undefined ? missing('roots') : undefined
    case 'sampling/createMessage':
      if (!isRecord(sampling)) return missing('sampling')
      return params['tools'] !== undefined && sampling['tools'] === undefined
        ? notThisWay('sampling', 'tools')
        : undefined
    case 'elicitation/create': {
      if (!isRecord(elicitation)) return missing('elicitation')
      const isUrl = params['mode'] === 'url'
      if (isUrl) return elicitation['url'] === undefined ? notThisWay('elicitation', 'url') : undefined
      // declared without a mode it means forms
      const forms = elicitation['form'] !== undefined || elicitation['url'] === undefined
      return forms ? undefined : notThisWay('elicitation', 'form')
    }
    default:
      return { code: RpcCode.methodNotFound, message: `the client does not know ${method}` }
  }
}

/** A question of a server that waits for its answer. */
export interface Question {
  readonly method: string
  /** The id as the server spelled it. */
  readonly id: Buffer
  /** JSON text, as it stands in `inputRequests`. */
  readonly request: string
  /** The client has been told. */
  shown: boolean
}

export function readQuestion(method: string, message: Buffer, scan: MessageScan): Question {
  // copies: the message itself is not to be kept in memory
  const id = Buffer.from(message.subarray(scan.idStart, scan.idEnd))
  return { method, id, request: inputRequest(method, message, scan), shown: false }
}

/** The question as one of `inputRequests` (2026-07-28 schema, `InputRequest`). */
function inputRequest(method: string, message: Buffer, scan: MessageScan): string {
  if (scan.paramsStart < 0) return JSON.stringify({ method })
  const text = message.toString('latin1')
  const edits: Edit[] = [
    ...withoutMembers(objectMembers(text, scan.paramsStart) ?? [], ({ name }) => LEGACY_ONLY.has(name)),
    ...withoutMembers(objectMembers(text, scan.metaStart) ?? [], ({ name }) => LEGACY_ONLY_META.has(name)),
  ]
  const shifted = edits.map(
    ([start, end, by]): Edit => [start - scan.paramsStart, end - scan.paramsStart, by],
  )
  const params = splice(message.subarray(scan.paramsStart, scan.paramsEnd), ...shifted)
  return `{"method":${JSON.stringify(method)},"params":${params.toString()}}`
}

function missing(name: string): Refusal {
  const message = `the client does not support ${name}`
  return { code: RpcCode.methodNotFound, message, required: { [name]: {} } }
}

function notThisWay(name: string, part: string): Refusal {
  const message = `the client does not support ${name}.${part}`
  return { code: RpcCode.invalidParams, message, required: { [name]: { [part]: {} } } }
}

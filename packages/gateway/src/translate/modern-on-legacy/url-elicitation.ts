import { isRecord } from '../../wire/client-message.ts'
import type { RpcErrorObject } from './modern-response.ts'

/** "URL elicitation required" (2025-11-25 client/elicitation); the modern era has no such code. */
const URL_ELICITATION_REQUIRED = -32042

/**
 * The pages that a person has to open before the request can be sent again, as input requests; `undefined` if the error does not
 * speak of any. The server has given the request up, so nothing waits for the answers: the request is sent again.
 */
export function urlElicitations({ code, data }: RpcErrorObject): readonly string[] | undefined {
  const listed = code === URL_ELICITATION_REQUIRED && isRecord(data) ? data['elicitations'] : undefined
  if (!Array.isArray(listed)) return undefined
  const elicitations: readonly unknown[] = listed
  const requests = elicitations.filter(isRecord).flatMap(({ url, message }, index) => {
    if (typeof url !== 'string') return []
    const params = { mode: 'url', message: typeof message === 'string' ? message : 'Open this page', url }
    return [`"q${index + 1}":${JSON.stringify({ method: 'elicitation/create', params })}`]
  })
  return requests.length === 0 ? undefined : requests
}

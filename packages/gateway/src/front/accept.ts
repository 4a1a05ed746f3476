import { headerOf, type HttpExchange } from './http-exchange.ts'

export type Accepted = 'both' | 'json' | 'sse'

const USUAL = 'application/json, text/event-stream'

/**
 * Which of the two kinds of answer the client takes. Clients have to list both; one that says nothing gets the benefit of
 * the doubt. `undefined` if it takes neither.
 */
export function acceptedBy(exchange: HttpExchange): Accepted | undefined {
  const header = headerOf(exchange, 'accept')
  if (header === undefined || header === USUAL) return 'both'
  const accept = header.toLowerCase()
  if (accept.includes('*/*')) return 'both'
  const json = accept.includes('application/json') || accept.includes('application/*')
  const sse = accept.includes('text/event-stream') || accept.includes('text/*')
  if (json) return sse ? 'both' : 'json'
  return sse ? 'sse' : undefined
}

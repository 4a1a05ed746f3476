import { headerOf, type HttpExchange } from './http-exchange.ts'

export type Accepted = 'both' | 'json' | 'sse'

/**
 * Which of the two kinds of answer the client takes. Clients have to list both; one that says nothing gets the benefit of
 * the doubt. `undefined` if it takes neither.
 */
export function acceptedBy(exchange: HttpExchange): Accepted | undefined {
  const accept = headerOf(exchange, 'accept')
  if (accept === undefined || accept.includes('*/*')) return 'both'
  const json = accept.includes('application/json') || accept.includes('application/*')
  const sse = accept.includes('text/event-stream') || accept.includes('text/*')
  if (json) return sse ? 'both' : 'json'
  return sse ? 'sse' : undefined
}

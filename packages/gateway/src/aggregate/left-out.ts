import type { Logger, SallyportError } from '@sallyport/core'
import type { Upstream } from '../upstream/upstream.ts'
import type { ListKind } from './list-kind.ts'

/** Lists that lack a server now, by method. */
const lacking = new WeakMap<Upstream, Set<string>>()

/** A list lacks a server. The log warns when that begins; that it goes on is no news. */
export function leftOut(upstream: Upstream, list: ListKind, error: SallyportError, logger: Logger): void {
  const methods = lacking.get(upstream) ?? new Set()
  lacking.set(upstream, methods)
  const level = methods.has(list.method) ? 'debug' : 'warn'
  methods.add(list.method)
  const fields = { server: upstream.name, list: list.method, error: error.message }
  logger[level]('server is left out of a list', fields)
}

/** A list has the server's part (again). */
export function takenIn(upstream: Upstream, list: ListKind): void {
  lacking.get(upstream)?.delete(list.method)
}

import { headerOf, type HttpExchange } from './http-exchange.ts'

export interface HostCheckOptions {
  readonly publicUrl: URL | undefined
  readonly allowedHosts: readonly string[]
  readonly allowedOrigins: readonly string[]
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/**
 * Defence against DNS rebinding (2026-07-28 streamable-http, "Security & Endpoint"): a web page that made a browser believe that
 * its own name is this machine still sends its name as `Host` and `Origin`. `undefined` if the request is fine.
 */
export function checkHost(exchange: HttpExchange, options: HostCheckOptions): string | undefined {
  const host = headerOf(exchange, 'host') ?? headerOf(exchange, ':authority')
  const loopback = host !== undefined && LOOPBACK.has(hostname(`http://${host}`))
  const known =
    host !== undefined && (options.allowedHosts.includes(host) || host === options.publicUrl?.host)
  if (!loopback && !known) return 'the Host header names another host'
  const origin = headerOf(exchange, 'origin')
  if (origin === undefined || options.allowedOrigins.includes(origin)) return undefined
  const own = URL.canParse(origin) && new URL(origin).origin === options.publicUrl?.origin
  return own || (loopback && LOOPBACK.has(hostname(origin))) ? undefined : 'this Origin may not call here'
}

function hostname(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname : ''
}
